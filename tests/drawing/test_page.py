"""The interactive page, in a real browser: what it shows is compared with arrays, and it is used as readers use it."""

import os
import re
import shutil

import numpy as np
import pytest

import tinygrad_mb as tg

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOSTILE = [
    '"quoted" \'twice\'', "<b>bold</b>", "</script><script>window.broken = 1</script>", "<!-- <script>", "two\nlines",
    "<img src=x onerror='window.broken = 1'>", "δ é 漢字 🙂", "x" * 10_000, "back\\slash \\N", "nul\0 bell\a",
    "a&b;&lt;", "\ud800 surrogate", "${data} $script", "]]>", "{{x}}", "constructor", "__proto__",
]  # fmt: skip


def missing(why):
    """Skips on a developer's machine, and fails where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"the page cannot be tested: {why}")
    pytest.skip(why)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: it is in the extra `test`")
    if not (shutil.which("dot") or tg_has_wheel()):
        missing("no layout program")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("there is no Chromium on PATH")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


def tg_has_wheel():
    import importlib.util

    return importlib.util.find_spec("pygraphviz") is not None


@pytest.fixture
def load(browser, tmp_path):
    """Opens the page of a drawing; at the end nothing may have gone wrong in it, and nothing been fetched."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.add_init_script(
        "window.violations = [];"
        "addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));"
    )
    pages, problems = [], []

    def load(drawing):
        path = drawing.save(tmp_path / f"page{len(pages)}.html")
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


# ------------------------------------------------------------------------------------------------ what is drawn


def two_layers(params, x, y):
    z1 = x @ params["W1"] + params["b1"]
    h = np.tanh(z1)
    z2 = h @ params["W2"] + params["b2"]
    losses = 0.5 * np.square(z2[:, 0] - y)
    return losses.mean()


def batch():
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(3, 4)), "b1": rng.normal(size=4), "W2": rng.normal(size=(4, 1)), "b2": np.zeros(1)}
    return params, rng.normal(size=(5, 3)), rng.normal(size=5)


def by_hand(params, x, y):
    """All values and all δ of ``two_layers``, and what each example contributes to each parameter."""
    z1 = x @ params["W1"] + params["b1"]
    h = np.tanh(z1)
    z2 = h @ params["W2"] + params["b2"]
    error = z2[:, 0] - y
    values = {"z1": z1, "h": h, "z2": z2, "losses": 0.5 * error**2, "L": (0.5 * error**2).mean()}
    dz2 = (error / len(x))[:, None]
    dh = dz2 @ params["W2"].T
    dz1 = dh * (1 - h**2)
    deltas = {"z1": dz1, "h": dh, "z2": dz2, "losses": np.full(len(x), 1 / len(x)), "L": np.array(1.0)}
    each = {
        "W1": x[:, :, None] * dz1[:, None, :], "b1": dz1, "W2": h[:, :, None] * dz2[:, None, :], "b2": dz2,
    }  # fmt: skip
    return values, deltas, each


def recurrent(params, x):
    h = np.zeros((len(x), 2))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ params["U"] + h @ params["W"])
    return np.square(h).sum(axis=1).mean()


def turns(count=8):
    rng = np.random.default_rng(1)
    params = {"U": rng.normal(size=(3, 2)), "W": rng.normal(size=(2, 2))}
    return params, rng.normal(size=(4, count, 3))


def nested(params, x):
    with tg.scope("net"):
        with tg.scope("first"):
            h = np.tanh(x @ params["V"])
            h = np.exp(h) * h
        with tg.scope("second"):
            h = np.tanh(h @ params["W"])
            with tg.scope("inner"):
                h = np.square(np.sin(h) + h)
    return h.sum(axis=1).mean()


def modules():
    rng = np.random.default_rng(2)
    return {"V": rng.normal(size=(3, 4)), "W": rng.normal(size=(4, 2))}, rng.normal(size=(5, 3))


# ------------------------------------------------------------------------------------------------ reading the page

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


# ------------------------------------------------------------------------------------------------ the player


def test_forward_steps_show_the_values(load):
    page = load(tg.draw(two_layers, *batch()))
    values, *_ = by_hand(*batch())
    positions = steps(page, "forward")
    for title, value in values.items():
        go(page, next(at for name, at in positions.items() if name.split(" = ")[0] == title))
        assert_shown(numbers(page, "#step", "value"), value)


def test_backward_steps_show_the_deltas_and_what_each_example_contributes(load):
    page = load(tg.draw(two_layers, *batch()))
    _, deltas, each = by_hand(*batch())
    positions = steps(page, "backward")
    for title, delta in deltas.items():
        go(page, next(at for name, at in positions.items() if name.split(" = ")[0] == title))
        assert_shown(numbers(page, "#step", "δ"), delta)
    go(page, positions["h @ W2"])
    assert page.locator("#step .passed code").all_text_contents() == ["δ W2ᵀ", "hᵀ δ"]
    assert page.locator("#step .badge").all_text_contents() == ["Σ 5 examples"]
    norms = page.locator("#step .bars td:nth-of-type(1)").all_text_contents()
    assert_shown([float(norm) for norm in norms], np.linalg.norm(each["W2"].reshape(5, -1), axis=1))
    assert_shown(numbers(page, "#step", "total of the 5 examples"), each["W2"].sum(axis=0))
    for example in range(5):
        page.locator("#example").fill(str(example))
        assert_shown(numbers(page, "#step", f"contribution of example {example}"), each["W2"][example])
        so_far = f"sum over examples 0 to {example}" if example else "sum so far, of example 0 alone"
        assert_shown(numbers(page, "#step", so_far), each["W2"][: example + 1].sum(axis=0))
        assert_shown(numbers(page, "#step", "total of the 5 examples"), each["W2"].sum(axis=0))


def test_gradients_grow_while_the_contributions_arrive(load):
    params, x = turns()
    gradient = tg.grad(recurrent)(params, x)
    hs = [np.zeros((4, 2))]
    for t in range(8):
        hs.append(np.tanh(x[:, t] @ params["U"] + hs[-1] @ params["W"]))
    delta = 2 * hs[-1] / 4
    sums = []  # of U's gradient, from the last turn to the first
    for t in reversed(range(8)):
        delta = delta * (1 - hs[t + 1] ** 2)
        sums.append((sums[-1] if sums else 0) + x[:, t].T @ delta)
        delta = delta @ params["W"].T
    page = load(tg.draw(recurrent, params, x))
    seen = []
    last = int(page.locator("#slider").get_attribute("max"))
    for position in range(last + 1):
        go(page, position)
        now = running(page, "U")
        if now is not None and (not seen or now != seen[-1]):
            seen.append(now)
    assert len(seen) == 8
    for now, expected in zip(seen, sums, strict=True):
        assert_shown(now, expected)
    for name in "UW":
        assert_shown(running(page, name), gradient[name])
    go(page, page.evaluate("data.steps.length") - 2)
    assert page.locator("#step").get_by_text("turn 1 of 8").is_visible()
    go(page, last)
    assert "8 of 8 uses, 32 contributions: complete" in page.locator("#parameters").inner_text()


def test_an_example_s_own_numbers_and_its_whole_contribution(load):
    page = load(tg.draw(recurrent, *turns(), example=2))
    params, x = turns()
    own = tg.per_example_grads(lambda p, x: np.square(_state(p, x)).sum(axis=1), params, x)
    assert page.locator("#example").input_value() == "2"
    go(page, page.locator("#slider").get_attribute("max"))
    found = page.locator("#parameters .parameter", has_text="U (").locator(".own td").all_text_contents()
    assert_shown([float(cell) for cell in found], own["U"][2] / 4)
    page.locator(f"#{titled(page, 'U')}").hover()
    assert_shown(numbers(page, "#card", "contribution of example 2"), own["U"][2] / 4)
    assert_shown(numbers(page, "#card", "gradient"), tg.grad(recurrent)(params, x)["U"])
    page.keyboard.press("]")
    assert_shown(numbers(page, "#card", "contribution of example 3"), own["U"][3] / 4)
    page.locator("#example-all").click()
    assert page.locator("#example").input_value() == ""


def _state(params, x):
    h = np.zeros((len(x), 2))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ params["U"] + h @ params["W"])
    return h


def test_playing_runs_to_the_end_and_lights_boxes_and_edges(load):
    page = load(tg.draw(two_layers, *batch()))
    assert page.locator(".now").count() == 0
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    page.wait_for_selector(".node.now")
    page.locator("#play").click()
    assert page.locator("#play").get_attribute("aria-label") == "Play"
    for step in page.evaluate("data.steps.map((step, k) => ({ ...step, k: k + 1 }))"):
        go(page, step["k"])
        lit = page.evaluate("[...document.querySelectorAll('.now')].map((one) => one.id)")
        assert set(lit) == {step["box"], *step["edges"]}
        backward = page.locator(".now.backward").count()
        assert backward == (len(lit) if step["direction"] == "backward" else 0)
    assert page.locator("#parameters .complete").count() == 4


# ------------------------------------------------------------------------------------------------ folding


def test_folding_a_module_leaves_one_box_and_joins_the_edges(load):
    page = load(tg.draw(nested, *modules()))
    everything, tall = shown(page), height(page)
    first, second = cluster(page, "first"), cluster(page, "second")
    assert_no_overlaps(page)
    page.locator(f"#{first} > text").first.click()
    assert f"{first}-folded" in shown(page)
    assert everything - shown(page) == {
        id_ for id_, clusters in page.evaluate("Object.entries(data.boxes).map(([id, box]) => [id, box.clusters])")
        if first in clusters
    }  # fmt: skip
    x, after = titled(page, "x"), titled(page, "h @ W")
    assert joined(page) == {(x, first), (first, after)}
    assert height(page) < tall - 60
    assert_no_overlaps(page)
    page.locator(f"#{second} > text").first.click()
    assert (first, second) in joined(page)
    assert_no_overlaps(page)
    page.locator(f"#{first}-folded").click()
    page.locator(f"#{second}-folded").click()
    assert shown(page) == everything
    assert joined(page) == set()
    assert height(page) == pytest.approx(tall, abs=0.1)


def test_fold_all_and_unfold_all(load):
    page = load(tg.draw(nested, *modules()))
    everything = page.evaluate(RECTANGLES)
    page.locator("#fold-all").click()
    net = cluster(page, "net")
    assert shown(page) == {titled(page, "x"), f"{net}-folded", *[id_ for id_ in everything if id_ in loose(page)]}
    assert_no_overlaps(page)
    page.locator("#unfold-all").click()
    assert shown(page) == set(everything)


def loose(page):
    """The boxes outside all frames."""
    return page.evaluate("Object.keys(data.boxes).filter((id) => !data.boxes[id].clusters.length)")


def test_a_depth_is_where_the_page_begins(load):
    page = load(tg.draw(nested, *modules(), depth=1))
    folded = {f"{cluster(page, 'first')}-folded", f"{cluster(page, 'second')}-folded"}
    assert folded <= shown(page)
    page.locator("#unfold-all").click()
    assert not folded & shown(page)
    assert_no_overlaps(page)


def test_a_folded_repeat_shows_its_first_turn(load):
    page = load(tg.draw(recurrent, *turns()))
    assert page.locator(".node:not(.gone)", has_text="tanh").count() == 1
    assert page.locator(".edge.again").count() == 1  # from the state to the next turn
    assert_no_overlaps(page)
    few, short = shown(page), height(page)
    page.locator("#unfold-all").click()
    assert page.locator(".node:not(.gone)", has_text="tanh").count() == 8
    assert page.locator(".edge.joined").count() == 0
    assert few < shown(page)
    assert height(page) > 3 * short
    assert_no_overlaps(page)
    page.locator("[data-is=frame] > text").first.click()
    assert shown(page) == few
    assert height(page) == pytest.approx(short, abs=0.1)


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


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_folded_nothing_overlaps_and_all_comes_back(load, seed):
    rng = np.random.default_rng(seed)
    page = load(tg.draw(blocks, {"W": rng.normal(size=(2, 2)), "s": np.ones(2)}, rng.normal(size=(3, 2))))
    start = page.evaluate(RECTANGLES).keys()
    page.locator("#unfold-all").click()
    everything = page.evaluate("Object.keys(data.boxes)")
    assert sorted(shown(page)) == sorted(everything)
    clusters = page.evaluate("Object.keys(data.clusters)")
    assert page.evaluate("Object.values(data.clusters).filter(({ kind }) => kind === 'repeat').length") >= 2
    for _ in range(12):
        page.evaluate("(id) => picture.fold(id, !picture.folded.has(id))", clusters[rng.integers(len(clusters))])
        assert_no_overlaps(page)
        ends = {end for line in joined(page) for end in line}
        assert {end if end in everything else f"{end}-folded" for end in ends} <= shown(page)
    page.locator("#fold-all").click()
    assert_no_overlaps(page)
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.evaluate(RECTANGLES).keys() == start


def test_steps_of_what_is_folded_light_what_stands_for_them(load):
    page = load(tg.draw(nested, *modules(), depth=0))
    net = cluster(page, "net")
    inside = page.evaluate(
        "(net) => data.steps.findIndex(({ box }) => data.boxes[box].clusters.includes(net)) + 1", net
    )
    go(page, inside)
    assert page.locator(f"#{net}-folded").get_attribute("class").split() == ["folded", "now"]


# ------------------------------------------------------------------------------------------------ search, keys


def test_search_fades_the_others_and_walks_through_the_hits(load):
    page = load(tg.draw(nested, *modules(), depth=0))
    page.keyboard.press("/")
    page.keyboard.type("tanh")
    assert page.locator("#hits").text_content() == "2 hits"
    net = cluster(page, "net")
    assert "hit" in page.locator(f"#{net}-folded").get_attribute("class")
    page.keyboard.press("Enter")  # unfolds what the hit is in
    assert page.locator("#hits").text_content() == "1 of 2"
    assert page.locator(".hit").count() == 2
    first = page.locator(".found").get_attribute("id")
    assert "tanh" in page.locator("#card").inner_text()
    page.keyboard.press("Enter")
    assert page.locator(".found").get_attribute("id") != first
    page.keyboard.press("Enter")
    assert page.locator(".found").get_attribute("id") == first
    faded = page.locator(f"#{titled(page, 'x')}").evaluate("(g) => getComputedStyle(g).opacity")
    assert float(faded) < 0.5
    page.keyboard.press("Escape")
    assert page.locator(".searching").count() == 0
    assert page.evaluate("document.activeElement.id") == first
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    assert page.locator("#hits").text_content() == "0 hits"


def test_everything_can_be_done_by_keyboard(load):
    page = load(tg.draw(nested, *modules()))
    net = cluster(page, "net")
    page.locator("#stage").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == net  # the outermost frame comes first
    assert "net" in page.locator("#card").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == f"{net}-folded"
    assert page.locator(f"#{net}-folded").get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    assert page.locator(f"#{net}").get_attribute("aria-expanded") == "true"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert shown(page) <= reached
    page.locator("#stage").focus()
    place = "document.querySelector('#stage svg > g').getAttribute('transform')"
    page.keyboard.press("0")
    fitted = page.evaluate(place)
    for key in ("ArrowLeft", "ArrowUp", "+", "-"):
        before = page.evaluate(place)
        page.keyboard.press(key)
        assert page.evaluate(place) != before
    page.keyboard.press("0")
    assert page.evaluate(place) == fitted
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.keyboard.press(",")
    assert page.locator("#slider").input_value() == "1"
    page.locator("#slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slider").input_value() == "2"
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "Pause"
    page.keyboard.press("Space")
    page.keyboard.press("[")
    assert page.locator("#example").input_value() == "4"
    page.keyboard.press("a")
    assert page.locator("#example").input_value() == ""
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_wheel_and_drag_move_the_picture(load):
    page = load(tg.draw(nested, *modules()))
    box = page.locator(f"#{titled(page, 'x')}")
    before = box.bounding_box()
    page.mouse.move(before["x"] + 5, before["y"] + 5)
    page.mouse.wheel(0, -240)
    after = box.bounding_box()
    assert after["width"] > 1.2 * before["width"]
    assert (
        after["x"] <= before["x"] + 5 <= after["x"] + after["width"]
    ) is True  # what is under the pointer stays there
    page.mouse.move(20, 400)
    page.mouse.down()
    page.mouse.move(120, 430, steps=4)
    page.mouse.up()
    moved = box.bounding_box()
    assert moved["x"] - after["x"] == pytest.approx(100, abs=1)
    assert moved["y"] - after["y"] == pytest.approx(30, abs=1)


# ------------------------------------------------------------------------------------------------ names, sizes


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_are_text_and_nothing_else(load, name):
    with tg.scope("module"):
        w = tg.Tensor(np.ones(3), requires_grad=True, name=name)
        with tg.scope(name.replace("/", "|")):
            h = (np.arange(6.0).reshape(2, 3) * w).named(name)
        loss = np.square(h).sum(axis=1).mean().named(name)
    page = load(tg.draw(loss))
    assert page.evaluate("window.broken") is None
    assert page.locator("b, img, i", has_text="bold").count() == 0
    assert page.locator("script").count() == 2
    as_text = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert page.evaluate("data.title.toWellFormed()") == as_text
    for position in range(1, int(page.locator("#slider").get_attribute("max")) + 1):
        go(page, position)
    page.locator("#fold-all").click()
    page.locator("#unfold-all").click()
    page.locator(".node").first.hover()
    shown_title = page.locator("#heading").text_content()
    assert shown_title == as_text or "surrogate" in name


def test_numbers_that_are_not_finite(load):
    x = tg.Tensor([np.inf, np.nan, -np.inf, 1e300, 0.0], requires_grad=True, name="x")
    page = load(tg.draw((x * 1.0).named("y")))
    go(page, 1)
    assert page.locator("#step td").all_text_contents() == ["inf", "nan", "-inf", "1e+300", "0"]


@pytest.mark.parametrize("value", [2.0, np.ones(0), np.ones((2, 0)), np.ones((2, 3, 4)), np.ones(500)], ids=np.shape)
def test_arrays_of_all_sizes(load, value):
    w = tg.Tensor(value, requires_grad=True, name="w")
    page = load(tg.draw((w * 2.0).named("y").sum()))
    for position in range(int(page.locator("#slider").get_attribute("max")) + 1):
        go(page, position)
    page.locator(f"#{titled(page, 'w')}").hover()
    assert "gradient" in page.locator("#card").inner_text()


def test_a_picture_of_one_leaf(load):
    page = load(tg.draw(tg.Tensor(1.0, requires_grad=True, name="w")))
    assert page.locator("#play").is_disabled()
    assert len(shown(page)) == 1


def test_without_backward_the_page_says_why_examples_are_not_told_apart(load):
    x = tg.Tensor(np.ones((3, 2)), name="x")
    w = tg.Tensor(np.ones(2), requires_grad=True, name="w")
    loss = np.square(w).sum() * np.square(x).sum()
    page = load(tg.draw(loss))
    assert "examples are not told apart" in page.locator("#step .note").text_content()
    assert not page.locator("#examples").is_visible()


def test_after_backward_has_freed_the_graph(load):
    params, x, y = batch()
    tensors = {name: tg.Tensor(value, requires_grad=True, name=name) for name, value in params.items()}
    loss = two_layers(tensors, tg.Tensor(x, name="x"), y)
    loss.backward()
    page = load(tg.draw(loss))
    for position in range(int(page.locator("#slider").get_attribute("max")) + 1):
        go(page, position)
    assert page.locator("#step .badge").count() > 0


def test_two_thousand_boxes(load):
    rng = np.random.default_rng(3)
    params = [rng.normal(size=(2, 2)) / 2 for _ in range(80)]

    def deep(params, x):
        for k in range(500):
            with tg.scope(f"part{k // 50}"):
                x = np.tanh(x @ params[(7 * k) % 80]) if k % 3 else np.sin(x * 2.0 + k)
        return np.square(x).sum(axis=1).mean()

    page = load(tg.draw(deep, params, rng.normal(size=(3, 2)), limit=1500))
    page.locator("#unfold-all").click()
    assert len(shown(page)) >= 1500
    page.locator("#fold-all").click()
    assert len(shown(page)) < 200
    page.locator("#unfold-all").click()
    page.keyboard.press("/")
    page.keyboard.type("sin")
    assert page.locator("#hits").text_content() == "166 hits"  # the first sine is of data alone
    go(page, page.locator("#slider").get_attribute("max"))
    assert page.locator("#parameters .complete").count() == len({(7 * k) % 80 for k in range(500) if k % 3})
