"""Pages of drawings in a real browser: how they are opened there, and what is read off them."""

import importlib.util
import os
import re
import shutil

import numpy as np
import pytest

import tinygrad_mb as tg

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing(why):
    """Skips on a developer's machine, and fails where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"the page cannot be tested: {why}")
    pytest.skip(why)


def chromium():
    """A running browser, as a fixture gives it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: it is in the extra `test`")
    if not (shutil.which("dot") or importlib.util.find_spec("pygraphviz")):
        missing("no layout program")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("there is no Chromium on PATH")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


def opener(browser, folder):
    """A function that opens the page of a drawing; at the end nothing may have gone wrong, and nothing been fetched."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.add_init_script(
        "window.violations = [];"
        "addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));"
    )
    pages, problems = [], []

    def load(drawing):
        path = drawing.save(folder / f"page{len(pages)}.html")
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector("body.ready")
        pages.append(page)
        return page

    yield load
    for page in pages:
        assert page.evaluate("violations") == []
    context.close()
    assert problems == []


# ------------------------------------------------------------------------------------------------ reading

NUMBERS = """([where, title]) => {
  const parts = [...document.querySelectorAll(where + ' .part')];
  const part = parts.find((one) => one.querySelector('h4').textContent === title);
  if (!part) return null;
  const cells = (row) => [...row.querySelectorAll('td')].map((cell) => Number(cell.textContent));
  const rows = [...part.querySelectorAll('table.numbers tr')].map(cells).filter((row) => row.length);
  return rows.length ? rows : Number(part.querySelector('.number').textContent);
}"""

RECTANGLES = """() => {
  const boxes = [...document.querySelectorAll('#stage :is(.node, .folded):not(.gone)')];
  return Object.fromEntries(boxes.map((g) => {
    const shapes = [...g.querySelectorAll('polygon, path, ellipse, rect:not(.behind)')];
    const all = (shapes.length ? shapes : [g]).map((one) => one.getBoundingClientRect());
    const end = (of, name) => of(...all.map((one) => one[name]));
    return [g.id, [end(Math.min, 'left'), end(Math.min, 'top'), end(Math.max, 'right'), end(Math.max, 'bottom')]];
  }));
}"""


def numbers(page, where, title):
    return page.evaluate(NUMBERS, [where, title])


def assert_shown(shown, array):
    """What the page shows has four digits."""
    array = np.asarray(array, dtype=float)
    assert shown is not None
    np.testing.assert_allclose(np.ravel(shown), array.ravel(), rtol=5.1e-4, atol=1e-300)


def go(page, step):
    page.locator("#slider").fill(str(step))


def step_title(page):
    return page.locator("#step h3").first.text_content()


def steps(page, direction):
    """The titles of all steps of one direction, by the slider's positions."""
    found = {}
    for position in range(1, int(page.locator("#slider").get_attribute("max")) + 1):
        go(page, position)
        if page.locator("#step h2").text_content().lower().startswith(direction):
            found[step_title(page)] = position
    return found


def running(page, parameter):
    """The gradient of a parameter so far; None where nothing has arrived."""
    row = page.locator("#parameters .parameter", has=page.locator("h3", has_text=re.compile(rf"^{parameter} ")))
    cells = row.locator(".running td, .running .number").all_text_contents()
    return [float(cell) for cell in cells] or None


def titled(page, title):
    """The id of the box with a title."""
    return page.evaluate("(title) => Object.entries(data.boxes).find(([, box]) => box.title === title)[0]", title)


def cluster(page, title):
    return page.evaluate("(title) => Object.entries(data.clusters).find(([, one]) => one.title === title)[0]", title)


def shown(page):
    return set(page.evaluate(RECTANGLES))


def joined(page):
    """The edges that are drawn for edges of what is folded, by their ends."""
    return {
        (line.get_attribute("data-source"), line.get_attribute("data-target"))
        for line in page.locator(".edge.joined").all()
    }


def assert_no_overlaps(page):
    places = list(page.evaluate(RECTANGLES).items())
    for k, (one, (left, top, right, bottom)) in enumerate(places):
        for other, (left2, top2, right2, bottom2) in places[:k]:
            apart = right <= left2 + 0.5 or right2 <= left + 0.5 or bottom <= top2 + 0.5 or bottom2 <= top + 0.5
            assert apart, f"{one} lies over {other}"


def height(page):
    """Of the picture, in its own units."""
    places = page.evaluate(RECTANGLES).values()
    scale = page.evaluate("document.querySelector('#stage svg > g').getCTM().a")
    return (max(place[3] for place in places) - min(place[1] for place in places)) / scale


# ------------------------------------------------------------------------------------------------ models


def recurrent(params, x):
    h = np.zeros((len(x), 2))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ params["U"] + h @ params["W"])
    return np.square(h).sum(axis=1).mean()


def turns(count=8):
    rng = np.random.default_rng(1)
    params = {"U": rng.normal(size=(3, 2)), "W": rng.normal(size=(2, 2))}
    return params, rng.normal(size=(4, count, 3))


def blocks(params, x):
    """Repetitions within modules within a repetition, a skip around each module."""
    for k in range(4):
        with tg.scope(f"block.{k}"):
            with tg.scope("loop"):
                h = x
                for _ in range(5):
                    h = np.tanh(h @ params["W"]) + h
            with tg.scope("out"):
                x = x + np.sin(h * params["s"])
    return np.square(x).sum(axis=1).mean()
