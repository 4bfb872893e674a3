"""The interactive page: folding and unfolding, search, keys, wheel and pointer."""

import numpy as np
import pytest
from pages import RECTANGLES, assert_no_overlaps, blocks, cluster, go, height, joined, recurrent, shown, titled, turns

import tinygrad_mb as tg


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
    for position, op in enumerate(page.evaluate("data.steps.map(({ box }) => data.boxes[box].op)"), start=1):
        go(page, position)
        assert page.evaluate("data.boxes[document.querySelector('.node.now').id].op") == op
    go(page, 0)
    page.locator("#unfold-all").click()
    assert page.locator(".node:not(.gone)", has_text="tanh").count() == 8
    assert page.locator(".edge.joined").count() == 0
    assert few < shown(page)
    assert height(page) > 3 * short
    assert_no_overlaps(page)
    page.locator("[data-is=frame] > text").first.click()
    assert shown(page) == few
    assert height(page) == pytest.approx(short, abs=0.1)


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
    assert sum(id_.endswith("-folded") for id_ in shown(page)) <= 2  # those of later turns are not shown, folded or not
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
