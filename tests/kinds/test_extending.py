"""Files of a project's ``extensions/`` add kinds to the tables, once; what is wrong with one is told with its file and
line."""

import pytest

from featdiff import extending, meaning
from featdiff.errors import UserError
from featdiff.kinds.samplers import SAMPLERS
from featdiff.settings.base import parse
from featdiff.settings.project import schema
from featdiff.settings.sampling import Sampling

SAMPLER = '''from typing import Literal
from featdiff.extending import Discrete, add

@add
class Mine(Discrete):
    """A sampler of my own."""
    kind: Literal["mine"]
    label = "my sampler"
    share: float = 0.5
'''
ROW = {"model": "m", "guidance": {"kind": "none"}, "images": 4}


@pytest.fixture
def load(tmp_path):
    """Load a folder of extensions with these files; what they added is taken out after the test."""

    def load(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        extending.load(tmp_path)

    yield load
    extending.unload()


def test_a_kind_from_outside_is_valid_in_settings_and_keeps_its_fields(load):
    load(mine=SAMPLER)
    row = parse(Sampling, {**ROW, "sampler": {"kind": "mine", "steps": 7}}, "row")
    assert row.sampler.model_dump() == {"kind": "mine", "steps": 7, "rho": 7.0, "share": 0.5}
    assert parse(Sampling, row.model_dump(mode="json"), "row") == row
    assert parse(Sampling, {**ROW, "sampler": row.sampler}, "row") == row
    assert (
        SAMPLERS.label("mine") == "my sampler"
        and "| `mine` | my sampler | A sampler of my own. |" in extending.listing()
    )


def test_its_settings_are_checked_like_those_of_the_package(load):
    load(mine=SAMPLER)
    for sampler, told in {
        "{'kind': 'mine', 'share': 'much'}": r"sampler\.share: Input should be a valid number",
        "{'kind': 'mine', 'step': 3}": r"sampler\.step: Extra inputs are not permitted \(got 3\)",
        "{'kind': 'yours'}": r"'yours' found using 'kind' does not match any of the expected tags: .*'ddpm'.*'mine'",
        "{'kind': 'ddpm', 'steps': 1}": r"sampler\.ddpm\.steps: Input should be greater than or equal to 2",
    }.items():
        with pytest.raises(UserError, match=told):
            parse(Sampling, {**ROW, "sampler": eval(sampler)}, "row")


def test_the_schema_stays_that_of_the_package_and_unloading_leaves_nothing(load):
    before, names = schema(), list(SAMPLERS)
    load(mine=SAMPLER)
    assert schema() == before and list(SAMPLERS) == [*names, "mine"]
    extending.unload()
    assert list(SAMPLERS) == names and meaning.LOADED == []
    with pytest.raises(UserError, match="'mine' found using 'kind'"):
        parse(Sampling, {**ROW, "sampler": {"kind": "mine"}}, "row")


def test_a_file_is_loaded_once(load):
    load(mine=SAMPLER)
    load()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "import featdiff\n\nimport no_such_module",
            r"wrong\.py:3: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("x = 1\ny = (", r"wrong\.py:2: SyntaxError"),
        ("def f():\n    return 1 / 0\n\nf()", r"wrong\.py:2: ZeroDivisionError"),
        (SAMPLER.replace('"mine"', '"ddpm"'), r"wrong\.py:\d: there is a sampler 'ddpm' already, of featdiff"),
        (SAMPLER.replace('"mine"', '"My kind"'), r"wrong\.py:\d: 'My kind' is no name"),
        (SAMPLER.replace('    label = "my sampler"\n', ""), r"wrong\.py:\d: Mine has no label"),
        (SAMPLER.replace('    """A sampler of my own."""\n', ""), r"wrong\.py:\d: Mine has no docstring"),
        (SAMPLER.replace('    kind: Literal["mine"]\n', ""), r"wrong\.py:\d: Mine has no name .*kind: Literal"),
        (
            "from featdiff.extending import add\n\n@add\nclass Mine:\n    pass\n",
            r"wrong\.py:\d: Mine extends none of Sampler",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(load, text, told):
    with pytest.raises(UserError, match=told):
        load(wrong=text)


def test_two_files_that_add_one_name_are_both_named(load):
    with pytest.raises(
        UserError, match=r"second\.py:\d: there is a sampler 'mine' already, of .*first\.py:\d: choose another"
    ):
        load(first=SAMPLER, second=SAMPLER)
