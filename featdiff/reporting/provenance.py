"""What made the report: versions and digests, from the manifests of the artifacts it shows."""

from collections.abc import Mapping

from featdiff.artifacts import Manifest
from featdiff.reporting.tables import Cell, Group, Row, Table

SHORT = 12  # digits of a digest


def artifacts_table(made: Mapping[str, Manifest], digests: Mapping[str, str]) -> Table:
    """The artifacts by name: kind, SHA-256 of the file, digest of the source that made it, inputs; ``digests`` of the files."""
    rows = [
        Row(
            name,
            "",
            [
                Cell(m.kind),
                Cell(digests[name][:SHORT], mark="digest"),
                Cell(m.code[:SHORT], mark="digest"),
                Cell(", ".join(f"{key} {value[:SHORT]}" for key, value in m.inputs.items()) or "–", mark="inputs"),
            ],
        )
        for name, m in made.items()
    ]
    notes = [f"First {SHORT} digits of SHA-256. Each artifact carries its full manifest."]
    if len({m.code for m in made.values()}) > 1:
        notes.append(
            "The artifacts were made by different states of featdiff's source; those were newest when each was made."
        )
    caption = "The artifacts that the report shows. An input's digest is that of the file it was made from."
    return Table("artifacts", caption, ["Kind", "File", "Source", "Inputs"], [Group("", rows)], notes, "Artifact")


def versions_table(made: Mapping[str, Manifest]) -> Table:
    """Versions of featdiff and of the libraries; all of them, where artifacts differ."""
    found: dict[str, set[str]] = {}
    for m in made.values():
        for name, version in {"featdiff": m.featdiff, **m.libraries}.items():
            found.setdefault(name, set()).add(version)
    rows = [Row(name, "", [Cell(", ".join(sorted(versions)))]) for name, versions in found.items()]
    return Table("versions", "Software that made the artifacts.", ["Version"], [Group("", rows)], first="Package")
