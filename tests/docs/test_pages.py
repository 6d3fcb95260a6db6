"""Pages are read with pleasure: short sentences, pictures with words, links that lead somewhere, nothing stale."""

import importlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, named, prose, words

KINDS = ("tutorials", "how-to", "explanation", "results")
WRITTEN = [page for page in PAGES if page.parent.name in KINDS or page.parent == DOCS]
BESIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
MOST = 18  # words of a sentence, in the mean of a page


@pytest.mark.parametrize("page", [*WRITTEN, *BESIDE[:2]], ids=named([*WRITTEN, *BESIDE[:2]]))
def test_the_mean_sentence_of_a_page_has_at_most_eighteen_words(page):
    counts = sorted(((words(one), one) for one in prose(page)), reverse=True)
    mean = sum(count for count, _ in counts) / max(len(counts), 1)
    assert mean <= MOST, f"{mean:.1f} words; the longest sentences:\n" + "\n".join(one for _, one in counts[:4])


def test_sentences_are_told_apart_and_counted(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# No title\n\nOne two three. Four `five six` [seven](x.md), eight: nine!\n\n- Ten\n\n> No\n")
    assert [words(one) for one in prose(page)] == [3, 5, 1]


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=named([*PAGES, *BESIDE]))
def test_links_lead_somewhere_and_pictures_have_words(page):
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for picture, shown, target in LINK.findall(re.sub(r"`[^`]*`", "", text)):
        assert not picture or len(shown.split()) >= 5, f"{target}: say in words what is seen"
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target} is not there"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{page.name}: {target} has no such title"


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles)
    return {re.sub(r"[\s]+", "-", title) for title in plain} | set(re.findall(r'id="([^"]+)"', text))


def test_files_that_name_a_page_name_one_that_there_is():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git here")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".smk", ".toml", ".html", "") and path.is_file():
            for page in re.findall(r"(?<![\w/-])docs/[\w/-]+\.(?:md|py|png|csv)", path.read_text(encoding="utf-8")):
                assert (ROOT / page).exists() or page.endswith(".csv"), f"{name} names {page}"


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("reference")


@pytest.mark.parametrize("name", ["settings", "commands", "kinds", "api"])
def test_a_generated_page_is_what_its_source_says_today(reference, name):
    page = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert page == reference.PAGES[name](), "bring it up to date: python docs/reference.py"


def test_each_setting_has_words_and_none_has_them_for_nothing(reference):
    assert not reference.without_words(), "give them a description, or words in docs/settings_words.py"
    words_of = importlib.import_module("settings_words").WORDS
    text = (DOCS / "reference/settings.md").read_text(encoding="utf-8")
    assert not [key for key, line in words_of.items() if line not in text]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.slow
def test_the_site_is_built_strictly_and_asks_the_network_for_nothing(tmp_path):
    if not shutil.which("mkdocs", path=str(ROOT / ".venv/bin")) and importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fetched = re.compile(
        r'<(?:script|img|iframe|link rel="(?:stylesheet|preload|icon)")[^>]*(?:src|href)="(?:https?:)?//'
    )
    for page in (tmp_path / "site").rglob("*.html"):
        assert not fetched.findall(page.read_text(encoding="utf-8")), page
