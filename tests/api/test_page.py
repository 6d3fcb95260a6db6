"""Each block of Python on docs/tutorials/python.md runs, in order, as a reader would paste it."""

import re
from pathlib import Path

import featdiff

PAGE = Path(__file__).parents[2] / "docs/tutorials/python.md"
CLASSES = {"grass": "flat", "gravel": "stripes"}  # of the small run of the tests


def test_the_blocks_of_the_page_run_one_after_the_other(results, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "results").symlink_to(results, target_is_directory=True)
    monkeypatch.chdir(folder)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S):
        for theirs, ours in CLASSES.items():
            block = block.replace(f'"{theirs}"', f'"{ours}"')
        exec(compile(block, str(PAGE), "exec"), names)
    assert {"grass.zip", "grid.png", "my-model"} <= {path.name for path in folder.iterdir()}
    assert names["clean"].shape == names["noisy"].shape and isinstance(names["style"], featdiff.Target)
