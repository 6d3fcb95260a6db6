"""What made the report: versions and digests, from the manifests of the artifacts it shows."""

from collections.abc import Mapping, Sequence

from featdiff.artifacts import Manifest
from featdiff.reporting.tables import Cell, Group, Row, Table

SHORT = 12  # digits of a digest
INPUTS = 8  # of an artifact that are named


MAKERS = {  # the commands whose code a kind of artifact comes of, beside that of the checkpoint it was made with
    "dataset": ("prepare",),
    "centroids": ("centroids",),
    "samples": ("sample-shard", "gather"),
    "metrics": ("collect", "measure", "embed", "denoise", "distances"),
}


def artifacts_table(
    made: Mapping[str, Manifest], digests: Mapping[str, str], accepted: Sequence[tuple[str, str]] = ()
) -> Table:
    """The artifacts by name: kind, SHA-256 of the file, digest of the source that made it, inputs; ``digests`` of the
    files.

    ``accepted`` are commands with the user's word why a change of their code has no effect on results; they stand
    beside the artifacts whose version they let stand.
    """
    words = {name: _accepted(m, accepted) for name, m in made.items()}
    rows = [
        Row(
            name,
            "",
            [
                Cell(m.kind),
                Cell(digests[name][:SHORT], mark="digest"),
                Cell(m.code[:SHORT], mark="digest"),
                Cell(_inputs(m) or "–", mark="inputs"),
                *([Cell("; ".join(words[name]) or "–", mark="words")] if any(words.values()) else []),
            ],
        )
        for name, m in made.items()
    ]
    notes = [f"First {SHORT} digits of SHA-256. Each artifact carries its full manifest."]
    if len({m.code for m in made.values()}) > 1:
        notes.append(
            "The column Source differs: the artifacts were not all made by the same version of featdiff's source code."
        )
    caption = "The artifacts that the report shows. An input's digest is that of the file it was made from."
    columns = ["Kind", "File", "Source", "Inputs"]
    if any(words.values()):
        columns.append("Accepted changes")
        notes.append(
            "Accepted changes: code that was changed after the artifact was made, with the word of this project's user "
            "that the change has no effect on it (featdiff ledger accept)."
        )
    return Table("artifacts", caption, columns, [Group("", rows)], notes, "Artifact")


def _accepted(made: Manifest, accepted: Sequence[tuple[str, str]]) -> list[str]:
    """The words that stand for an artifact: of the commands that made it, and of the training before it."""
    commands = {*MAKERS.get(made.kind, ()), *(["train"] if "checkpoint" in made.inputs else [])}
    return [f"{key}: {why}" for key, why in accepted if commands & set(key.split("-with-"))]


def _inputs(made: Manifest) -> str:
    """The first inputs with their digests, and how many more there are (a data set may be made of thousands of
    files)."""
    shown = [f"{name} {value[:SHORT]}" for name, value in list(made.inputs.items())[:INPUTS]]
    rest = len(made.inputs) - len(shown)
    return ", ".join([*shown, f"and {rest} more"] if rest else shown)


def versions_table(made: Mapping[str, Manifest]) -> Table:
    """Versions of featdiff and of the libraries; all of them, where artifacts differ."""
    found: dict[str, set[str]] = {}
    for m in made.values():
        for name, version in {"featdiff": m.featdiff, **m.libraries}.items():
            found.setdefault(name, set()).add(version)
    rows = [Row("Version", "", [Cell(", ".join(sorted(versions))) for versions in found.values()])]
    return Table("versions", "Software that made the artifacts.", list(found), [Group("", rows)], first="Package")
