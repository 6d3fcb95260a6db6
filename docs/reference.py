"""The generated pages of docs/reference: settings, commands, kinds and API, each from its own source.

python docs/reference.py      # write the pages; a test compares the committed ones with a fresh generation
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from settings_words import SECTIONS, WORDS

import featdiff
from featdiff import extending
from featdiff.errors import UserError
from featdiff.evaluation.result import Result
from featdiff.settings.project import schema

FOLDER = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/reference.py; do not edit. -->\n"
KINDS = """The choices of `kind: NAME` in the settings, and the measures. `featdiff kinds` prints these tables, with
[your own kinds](../how-to/extending.md) in them."""


def cell(text: str) -> str:
    """Text in a cell of a table, on one line; reStructuredText's code and links become Markdown's."""
    return markdown(" ".join(text.split())).replace("|", "\\|")


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"`\1`", text).replace("``", "`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(text.split("`")))


# --- settings -------------------------------------------------------------------------------------------------------


def settings() -> str:
    """All settings of params.yaml, a table for each group, from the JSON schema."""
    whole = json.loads(schema())
    groups = whole["$defs"]
    parts = [
        "# Settings\n",
        NOTE,
        "Every setting of `params.yaml`, from its JSON schema. `featdiff check` checks a file.",
        "A table's rows have names of your own: small letters, digits, `_` and `-`.",
        "Settings that are not named have the default. Sizes are in pixels; noise levels σ are in the units of pixels "
        "in [0, 1]; images are counted, not steps.\n",
        "| section | what it holds |",
        "|---|---|",
    ]
    named = list(whole["properties"])
    parts += [f"| [`{name}`](#{name}) | {SECTIONS[name]} |" for name in named]
    shown: set[str] = set()
    for section in named:
        parts += ["", f"## {section}", "", SECTIONS[section]]
        own = whole["properties"][section]
        rows = "patternProperties" in own
        where = f"{section}.NAME" if rows else section
        if not list(_groups(own)):
            parts += ["", *_table({section: own}, set(whole.get("required", [])), "")]
        for group, path in _reached(own, where, groups):
            if group not in shown:
                shown.add(group)
                parts += ["", *_group(group, path, groups[group])]
    return "\n".join(parts) + "\n"


def _groups(field: dict[str, Any]) -> Iterator[str]:
    """The groups that a field holds directly."""
    for key, value in field.items():
        if key == "$ref":
            yield value.rsplit("/", 1)[1]
        elif key in ("oneOf", "anyOf"):
            for one in value:
                yield from _groups(one)
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            yield from _groups(value)
        elif key == "patternProperties":
            for one in value.values():
                yield from _groups(one)


def _reached(field: dict[str, Any], path: str, groups: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Groups below a field and where they stand, outer ones first."""
    queue, seen = [(group, path) for group in _groups(field)], set()
    while queue:
        group, path = queue.pop(0)
        if group not in seen:
            seen.add(group)
            yield group, path
            for name, inner in groups[group].get("properties", {}).items():
                queue += [(one, f"{path}.{name}") for one in _groups(inner)]


def _group(group: str, path: str, found: dict[str, Any]) -> list[str]:
    kind = found.get("properties", {}).get("kind", {}).get("const")
    title = f"`{path}`" + (f": `kind: {kind}`" if kind else "")
    lines = [f"### {title}", "", markdown(" ".join(found.get("description", "").split()))]
    fields = {name: field for name, field in found.get("properties", {}).items() if name != "kind"}
    return [*lines, "", *_table(fields, set(found.get("required", [])), group)] if fields else lines


def _table(fields: dict[str, Any], required: set[str], group: str) -> list[str]:
    lines = ["| setting | meaning | type | default | range |", "|---|---|---|---|---|"]
    for name, field in fields.items():
        words = field.get("description") or WORDS.get(f"{group}.{name}") or WORDS.get(name) or ""
        default = "required" if name in required else _default(field.get("default"))
        kind, limits = _type(field), _range(field)
        lines.append(f"| `{name}` | {cell(words)} | {cell(kind)} | {cell(default)} | {cell(limits)} |")
    return lines


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field or "oneOf" in field:
        return "group"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "patternProperties" in field:
        return "table"
    if "const" in field or "enum" in field:
        return "choice"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}" if "items" in field else "list"
    names = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text", "null": "none"}
    return names.get(field.get("type", ""), "any")


def _default(value: Any) -> str:
    if isinstance(value, dict):
        return f"`{{kind: {value['kind']}}}`" if "kind" in value else "its own"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "its own"
    if value is None:
        return "none"
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace('"', "")


def _range(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return "; ".join(dict.fromkeys(filter(None, (_range(one) for one in field["anyOf"]))))
    if "const" in field or "enum" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        inner = _range(field.get("items", {}))
        return f"each {inner}" if inner else ""
    if field.get("oneOf"):
        return ", ".join(f"`{kind}`" for kind in field.get("discriminator", {}).get("mapping", {}))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field and field[key] < 2**62]
    return ", ".join(limits)


def without_words() -> list[str]:
    """Settings that neither the schema nor :mod:`docs.settings_words` explains."""
    whole = json.loads(schema())
    return [
        f"{group}.{name}"
        for group, found in whole["$defs"].items()
        for name, field in found.get("properties", {}).items()
        if name != "kind" and not (field.get("description") or WORDS.get(f"{group}.{name}") or WORDS.get(name))
    ]


# --- commands -------------------------------------------------------------------------------------------------------


def commands() -> str:
    """All commands, from their help."""
    import typer

    from featdiff import cli, ledger

    app: Any = typer.main.get_command(cli.app)
    versions: Any = typer.main.get_command(ledger.app)
    panels: dict[str, list[Any]] = {}
    for command in app.commands.values():
        panels.setdefault(command.rich_help_panel, []).append(command)
    parts = [
        "# Commands\n",
        NOTE,
        "`featdiff --help` lists them, `featdiff COMMAND --help` prints what stands here.",
        "What a user can mend ends with one message and exit status 2.",
        "Each step of the workflow is one command that can be pasted into a shell; `snakemake -p` prints them.",
    ]
    for panel, found in panels.items():
        parts += ["", f"## {panel}"]
        for command in found:
            parts += _command(command, f"featdiff {command.name}", "###")
            if command.name == "ledger":
                for one in versions.commands.values():
                    parts += _command(one, f"featdiff ledger {one.name}", "####")
    return "\n".join(parts) + "\n"


def _command(command: Any, name: str, level: str) -> list[str]:
    text = inspect.cleandoc((command.help or "").replace("\b", "").replace("\f", ""))
    text = re.sub(r"Example: (.*)", r"Example: `\1`", text)
    lines = ["", f"{level} {name}", "", markdown(text)]
    rows = []
    for option in command.params:
        if getattr(option, "hidden", False) or option.name == "help":
            continue
        argument = option.param_type_name == "argument"
        shown = (option.metavar or option.name.upper()) if argument else ", ".join(option.opts + option.secondary_opts)
        needed = "required" if option.required else _of_option(option)
        rows.append(f"| `{shown}` | {cell(needed)} | {cell(getattr(option, 'help', None) or '')} |")
    return [*lines, "", "| option | default | meaning |", "|---|---|---|", *rows] if rows else lines


def _of_option(option: Any) -> str:
    value = option.default
    if value is None or value is False or value == () or "Sentinel" in type(value).__name__:
        return ""
    return f"`{value}`"


# --- kinds and API --------------------------------------------------------------------------------------------------


def kinds() -> str:
    """What ``featdiff kinds`` prints."""
    return f"# Kinds\n\n{NOTE}\n{' '.join(KINDS.split())}\n\n{extending.listing()}"


def api() -> str:
    """The public names of featdiff, from their docstrings."""
    things: dict[str, Any] = {f"featdiff.{name}": getattr(featdiff, name) for name in ("load", "evaluate")}
    classes = {f"featdiff.{name}": getattr(featdiff, name) for name in ("Model", "Target", "Images")}
    classes |= {"featdiff.evaluation.result.Result": Result, "featdiff.errors.UserError": UserError}
    parts = [
        "# API\n",
        NOTE,
        "The public names, from their docstrings. [In Python](../tutorials/python.md) shows them at work.",
        "N is the number of images, H and W their sides in pixels, C 1 for gray and 3 for colour.",
    ]
    for name, thing in things.items():
        parts += ["", f"## {name}", "", *_callable(name, thing)]
    for name, thing in classes.items():
        parts += ["", f"## {name}", "", docstring(thing)]
        for member, value in vars(thing).items():
            found = value.fget if isinstance(value, property) else getattr(value, "func", value)
            if member.startswith("_") or not inspect.isfunction(found) or not found.__doc__:
                continue
            shown = f"{name.rsplit('.', 1)[1]}.{member}"
            if isinstance(value, property):
                parts += ["", f"### {shown}", "", docstring(found)]
            else:
                parts += ["", f"### {shown}", "", *_callable(shown, found)]
    return "\n".join(parts) + "\n"


def docstring(thing: Any) -> str:
    return markdown(inspect.cleandoc(vars(thing).get("__doc__") or thing.__doc__ or ""))


def _callable(name: str, thing: Any) -> list[str]:
    """The signature, an argument a line where it is long, and the docstring."""
    found = inspect.signature(thing)
    arguments: list[str] = []
    for key, one in found.parameters.items():
        if one.kind is one.KEYWORD_ONLY and "*" not in arguments:
            arguments.append("*")
        if key != "self":
            arguments.append(_short(str(one)))
    back = f" -> {_short(inspect.formatannotation(found.return_annotation))}"
    line = f"{name}({', '.join(arguments)}){back}"
    if len(line) > 100:
        line = "\n".join([f"{name}(", *(f"    {one}," for one in arguments), f"){back}"])
    return ["```text", line, "```", "", docstring(thing)]


def _short(text: str) -> str:
    """Names of types without the modules they come from, the same for each version of Python."""
    text = re.sub(r"PosixPath\('(.*?)'\)", r"'\1'", text)
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Z]|ndarray)", "", text)
    return re.sub(r"'([A-Z]\w*)'", r"\1", text).replace("'", '"')


PAGES = {"settings": settings, "commands": commands, "kinds": kinds, "api": api}


def main() -> None:
    for name, page in PAGES.items():
        (FOLDER / f"{name}.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
