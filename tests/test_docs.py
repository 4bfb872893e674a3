"""The programs in README.md and on the site's pages do what the pages say."""

import doctest
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
