"""The pages: their paragraphs, tables and blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def named(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without the indentation of a list they stand in."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


def tables(page: Path) -> list[list[list[str]]]:
    """The tables: for each its rows of cells, the head first and without the line below it."""
    found: list[list[list[str]]] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not inside:
                found.append([])
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                found[-1].append(cells)
        inside = line.startswith("|")
    return found


def prose(page: Path) -> list[str]:
    """The sentences of a page's paragraphs and lists; no titles, tables, quotations, blocks or comments."""
    text = re.sub(r"^ *```.*?^ *```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    kept = [
        re.sub(r"^\s*(?:[-*] |\d+\. )", "", line)
        for line in text.splitlines()
        if not re.match(r"\s*(?:#|\||>|!\[)", line) and line.strip()
    ]
    found = []
    for line in kept:
        line = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).replace("**", "")
        line = re.sub(r"`[^`]*`", "X", line)
        found += [one for one in re.split(r"(?<=[.!?])[\"')]*\s+(?=[A-Z0-9\"(*X.φσ±])", line) if one.strip()]
    return found


def words(sentence: str) -> int:
    return len(re.findall(r"[^\W\d_][\w'’-]*", sentence))
