"""Reports are for people: text, HTML, and an assertion."""

import pytest

from tinygrad_mb.checking.reports import Report, Table, entry
from tinygrad_mb.wording import listed


def test_a_report_is_text_and_html_and_an_assertion():
    report = Report(False, "a < b", ["one\ntwo", "A sentence.", Table(("x", "long"), [["1 & 2", "3"]])])
    assert str(report) == repr(report) == "a < b\n  one\n  two\n  A sentence.\n  x      long\n  1 & 2  3"
    html = report._repr_html_()
    assert "a &lt; b" in html
    assert ">one\ntwo</pre>" in html
    assert ">A sentence.</p>" in html
    assert ">1 &amp; 2</td>" in html
    with pytest.raises(AssertionError, match="a < b"):
        report.assert_ok()
    assert not report


def test_a_report_of_what_is_right_asserts_nothing():
    report = Report(True, "All right.")
    report.assert_ok()
    assert report
    assert str(report) == "All right."


def test_words():
    assert entry("W", (1, 2)) == "W[1, 2]"
    assert entry("loss", ()) == "loss"
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
