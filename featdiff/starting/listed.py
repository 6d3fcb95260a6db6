"""A CSV of file and label, and of split where there is such a column."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from featdiff.data.listing import IMAGE_SUFFIXES
from featdiff.errors import UserError
from featdiff.starting.converting import Item

FILE = ("file", "file_name", "filename", "path", "filepath", "file_path", "image", "image_path", "image_name")
LABEL = ("label", "class", "class_name", "category", "target", "labels")
SPLIT = ("split", "set", "subset", "partition")
OF_SPLIT = {"train": "train", "training": "train", "test": "test", "testing": "test"}


def items(path: Path) -> Iterator[Item]:
    """The images that the rows name, relative to the table's folder; rows of other splits than train and test are left
    out."""
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: an empty table")
    file, label, split, first = _columns(path, rows)
    for number, row in enumerate(rows[first:], first + 1):
        if len(row) <= max(file, label or 0, split or 0):
            raise UserError(f"{path}, row {number}: {len(row)} columns, fewer than the others")
        part = None if split is None else OF_SPLIT.get(row[split].strip().lower(), "")
        if part != "":
            image = path.parent / row[file].strip()
            if not image.is_file():
                raise UserError(f"{path}, row {number}: {image}: no such file (paths start at the table's folder)")
            yield Item(part, None if label is None else row[label], image.read_bytes(), image.suffix.lower())


def _rows(path: Path) -> list[list[str]]:
    """The rows that are not empty; commas, semicolons or tabs part the columns, whichever the first line has most."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = max(",;\t", key=head.count)
        return [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV in UTF-8 ({error})") from None


def _columns(path: Path, rows: Sequence[Sequence[str]]) -> tuple[int, int | None, int | None, int]:
    """The columns of file, label and split, and the first row that is an image: by their names or, without a head, the
    first column and the second."""
    head = [cell.strip().lower() for cell in rows[0]]
    named = [next((head.index(name) for name in known if name in head), None) for known in (FILE, LABEL, SPLIT)]
    if named[0] is not None:
        return named[0], named[1], named[2], 1
    if rows[0][0].strip().lower().endswith(IMAGE_SUFFIXES):
        return 0, 1 if len(head) > 1 else None, None, 0
    raise UserError(
        f"{path}: no column of files; its head has {', '.join(map(repr, rows[0]))}. Call the columns file and label "
        "(and split, of train and test)"
    )
