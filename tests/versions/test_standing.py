"""The two engines' words side by side."""

import json

import pytest

from featdiff.versions.graph import Graph, Stage, shorten
from featdiff.versions.standing import advice, as_json, as_table, standings


def chain(**stale):
    """prepare -> train -> sample, with Snakemake's reasons for some; what follows a stale one follows it."""
    names = ("prepare", "train", "sample")
    stages = [
        Stage(
            name,
            (name,),
            (f"{names[number - 1]}.out",) if number else ("raw",),
            (),
            (f"{name}.out",),
            code=name,
            **stale.get(name, {}),
        )
        for number, name in enumerate(names)
    ]
    return Graph(names, tuple(stages), (("prepare", "train"), ("train", "sample")), {})


def test_all_that_follows_a_stage_is_stale_with_it():
    assert chain().with_followers(["train"]) == {"train", "sample"}
    assert chain().with_followers(["prepare"]) == {"prepare", "train", "sample"}
    assert chain().with_followers([]) == set()
    assert chain().with_followers(["gone from the graph"]) == set()


def test_nothing_stale_is_one_line():
    rows = standings(chain(), {})
    assert as_table(rows) == "nothing is stale: 3 stages are up to date in both engines"
    assert advice(rows) == []


def test_both_engines_words_stand_beside_each_other():
    graph = chain(train={"reasons": ("params changed",)}, sample={"follows": ("train",)})
    changes = {"train": [{"changed deps": {"params.yaml": {"trainings.preview": "modified"}, "a.py": "modified"}}]}
    prepare, train, sample = standings(graph, changes)
    assert (prepare.snakemake, prepare.dvc, prepare.agree) == ("", "", True)
    assert train.snakemake == "params changed"
    assert train.dvc == "params modified: trainings.preview; input modified: a.py"
    assert (sample.snakemake, sample.dvc, sample.agree) == ("follows train", "follows train", True)
    assert json.loads(as_json([sample])) == [
        {"stage": "sample", "snakemake": "follows train", "dvc": "follows train", "agree": True}
    ]


@pytest.mark.parametrize(
    ("stale", "changes", "words"),
    [
        ({}, {"sample": [{"changed outs": {"sample.out": "modified"}}]}, "featdiff ledger record"),
        ({"sample": {"reasons": ("input changed: train.out",)}}, {}, "featdiff ledger adopt"),
    ],
)
def test_where_they_differ_the_table_says_so_and_what_to_do(stale, changes, words):
    rows = standings(chain(**stale), changes)
    assert [row.agree for row in rows] == [True, True, False]
    assert "sample  NO" in as_table(rows)
    assert words in advice(rows)[0]


def test_long_lists_are_cut():
    assert shorten(["b", "a"]) == "a, b"
    assert shorten("abcd") == "a, b, c, d"
    assert shorten("abcdef") == "a, b, c and 3 more"
