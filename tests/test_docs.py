"""The programs in README.md and on the site's pages do what the pages say."""

import doctest
import html
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES_WITH_PROGRAMS = [page for page in PAGES if "\n>>> " in page.read_text()]


def test_the_pages_that_teach_have_programs():
    names = {page.stem for page in PAGES_WITH_PROGRAMS}
    assert names >= {
        "README", "index", "averaging", "tour", "per_example", "splitting", "semantics", "errors", "known_answers",
        "gradcheck", "explain",
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES_WITH_PROGRAMS, ids=lambda page: page.stem)
def test_every_program_of_a_page_gives_the_output_shown(page):
    text = re.sub(r"^ *```.*$", "", page.read_text(), flags=re.MULTILINE)  # a fence ends the output before it
    program = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page.stem, str(page), 0)
    report: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(program, out=report.append)
    assert not outcome.failed, "".join(report)


def test_the_picture_in_the_readme_is_the_one_that_its_program_draws():
    text = re.sub(r"^ *```.*$", "", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    program = doctest.DocTestParser().get_doctest(text, {}, "README", None, 0)
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(program, clear_globs=False)
    picture = (ROOT / "docs" / "graph.svg").read_text()
    source = program.globs["picture"].source
    assert sorted(re.findall(r'<g id="([ne]\w+)"', picture)) == sorted(re.findall(r"\bid=(\w+)", source))
    texts = [html.unescape(part).strip() for part in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]
    assert "Σ m=4 · axis 0" in texts
    assert all(part in html.unescape(source) for part in texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
