"""The numbers in the sentences of the pages of results: none can go stale.

Each is in a table of its page (``test_numbers`` compares those), a setting, a claim that ``claims`` gives the value of,
or a number of the protocol. ``bench.md`` is written whole by a program. Numbers in words ("twice") are not looked at.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from featdiff.settings.mixture import Bridge, MixtureStudy
from tests.docs.claims import CLAIMS, PROTOCOL, TOLD, page_of
from tests.docs.pages import DOCS, ROOT, prose, tables

PAGES = sorted(page.stem for page in (DOCS / "results").glob("*.md") if page.stem != "bench")
WRITTEN = r"(?<![\w.])(?<![A-Za-z]-)[-−]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?!\w)"
NUMBER = re.compile(rf"({WRITTEN})(%| million| thousand|)")
SCALE = {"%": 0.01, " million": 1e6, " thousand": 1e3, "": 1.0}

Said = tuple[str, float, float]  # as it is written, its value, half of its last digit


def said(text: str) -> Iterator[Said]:
    """The numbers of a text, but for those in code and those that name a paper."""
    for written, unit in NUMBER.findall(re.sub(r"`[^`]*`|arXiv:[\d.]+", "", text)):
        plain = written.replace("−", "-").replace(",", "")
        digits = len(plain.partition(".")[2])
        yield written + unit, float(plain) * SCALE[unit], 0.5000001 * 10**-digits * SCALE[unit]


def near(number: Said, value: float) -> bool:
    return abs(number[1] - value) <= number[2]


def sentences(name: str) -> list[str]:
    """The page's sentences and the rows of its tables of words."""
    rows = [" | ".join(row) for i in TOLD.get(name, ()) for row in tables(page_of(name))[i][1:]]
    return [*prose(page_of(name)), *(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", row).replace("**", "") for row in rows)]


def wanted(words: str) -> re.Pattern[str]:
    """Words with ``{}`` in the place of each number."""
    return re.compile(rf"({WRITTEN}(?:%| million| thousand)?)".join(re.escape(part) for part in words.split("{}")))


@cache
def settings() -> frozenset[float]:
    """Every number of params.yaml, of the presets and of the mixture study."""
    found: set[float] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                walk(one)
        elif isinstance(value, int | float):
            found.add(float(value))

    for path in (ROOT / "params.yaml", *(ROOT / "workflow/presets").glob("*.yaml")):
        walk(yaml.safe_load(path.read_text(encoding="utf-8")))
    walk(MixtureStudy(cases={}, bridge=Bridge()).model_dump(mode="json"))
    return frozenset(found)


def without_source(name: str, text: list[str]) -> list[str]:
    """The numbers of the text that come from nowhere."""
    claimed = [wanted(words) for words in CLAIMS.get(name, {})]
    shown = [n for i, t in enumerate(tables(page_of(name))) if i not in TOLD.get(name, ()) for row in t for n in row]
    known = [value for cell in shown for _, value, _ in said(cell)] + [*settings()]
    found = []
    for sentence in text:
        for one in claimed:
            sentence = one.sub("", sentence)
        found += [
            f"{n[0]} ({sentence})"
            for n in said(sentence)
            if n[0] not in PROTOCOL.get(name, ()) and not any(near(n, value) for value in known)
        ]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_each_number_in_a_sentence_comes_from_somewhere(name):
    missing = without_source(name, sentences(name))
    assert not missing, "cut them, or say in tests/docs/claims.py what gives them:\n" + "\n".join(missing)


ALL = [(name, words, give) for name, claims in CLAIMS.items() for words, give in claims.items()]


@pytest.mark.parametrize(("name", "words", "give"), ALL, ids=[f"{name}: {words}" for name, words, _ in ALL])
def test_each_claim_has_the_numbers_of_its_source(name, words, give):
    found = [match for sentence in sentences(name) for match in wanted(words).finditer(sentence)]
    assert found, f"{name}.md does not say it any more: take it out of tests/docs/claims.py"
    for match in found:
        for written, value in zip(match.groups(), give(), strict=True):
            assert near(next(said(written)), value), f"{match[0]}: {value:.5g}"


def test_numbers_of_the_protocol_are_all_needed():
    for name, numbers in PROTOCOL.items():
        there = {written for sentence in sentences(name) for written, *_ in said(sentence)}
        assert not set(numbers) - there, name


def test_a_number_that_was_changed_is_found():
    words = "a wrong one costs up to {} dB"
    value = CLAIMS["guidance"][words]()[0]
    assert near(next(said(wanted(words).search("; a wrong one costs up to 3.6 dB.")[1])), value)
    assert not near(next(said(wanted(words).search("; a wrong one costs up to 3.5 dB.")[1])), value)
    assert without_source("guidance", ["It costs 3.7 dB."]) == ["3.7 (It costs 3.7 dB.)"]
    assert [n[1] for n in said("−.5, 12,000, 1.2 million, 94%, GPU-2, arXiv:2408.09000, `7`")] == pytest.approx(
        [-0.5, 12e3, 1.2e6, 0.94]
    )
