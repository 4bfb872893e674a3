"""The interactive page: what of the picture is in sight, and what it shows of repetitions, as the printed picture."""

# ruff: noqa: RUF001

import numpy as np
import pytest
from pages import cluster, go, joined, recurrent, shown, titled, turns

import tinygrad_mb as tg

PLACE = "document.querySelector('#stage svg > g').getAttribute('transform')"
INSIDE = """(id) => {
  const rect = (one) => one.getBoundingClientRect();
  const [box, stage] = [rect(picture.elementOf(id)), rect(document.getElementById('stage'))];
  return box.left >= stage.left && box.right <= stage.right && box.top >= stage.top && box.bottom <= stage.bottom;
}"""


def residual(params, x):
    """Blocks of two modules with a connection around them."""
    x = np.exp(x * params["a"])
    with tg.scope("net"):
        for k in range(4):
            with tg.scope(f"block.{k}"):
                with tg.scope("norm"):
                    h = np.square(x - x.mean(axis=1, keepdims=True)) + 1.0
                with tg.scope("mlp"):
                    h = np.tanh(np.sin(h @ params["W"][k]) + params["b"])
                x = x + h
    return np.square(x).sum(axis=1).mean()


def four():
    rng = np.random.default_rng(0)
    return {"W": [rng.normal(size=(3, 3)) for _ in range(4)], "a": np.ones(3), "b": np.zeros(3)}, rng.normal(
        size=(5, 3)
    )


def lines(page, again):
    return {
        (line.get_attribute("data-source"), line.get_attribute("data-target"))
        for line in page.locator(".edge.joined.again" if again else ".edge.joined:not(.again)").all()
    }


# ------------------------------------------------------------------------------------------------ repetitions


def test_within_a_turn_lines_are_not_those_of_the_next_turn(load):
    page = load(tg.draw(residual, *four(), depth=2))
    norm, mlp = cluster(page, "norm"), cluster(page, "mlp")
    first = next(target for source, target in lines(page, again=False) if source == mlp)
    assert (norm, mlp) in lines(page, again=False)
    assert lines(page, again=True) == {(first, norm), (first, first)}
    labels = page.locator(".edge.joined.again text").all_text_contents()
    assert labels == ["next turn", "next turn"]
    page.locator("#unfold-all").click()
    assert lines(page, again=True) == set()


def test_a_module_that_holds_nothing_but_a_repetition_is_not_folded_with_it(load):
    page = load(tg.draw(residual, *four(), depth=2))
    net = cluster(page, "net")
    assert f"{net}-folded" not in shown(page)
    assert {f"{cluster(page, title)}-folded" for title in ("norm", "mlp")} <= shown(page)
    page = load(tg.draw(residual, *four(), depth=0))
    assert f"{cluster(page, 'net')}-folded" in shown(page)


def test_badges_count_the_uses_that_they_stand_for(load):
    page = load(tg.draw(recurrent, *turns()))
    badges = ".edge:not(.gone) .label"
    for _ in range(2):
        assert page.locator(badges).all_text_contents() == ["Σ m=4 · axis 0 × 8 uses"] * 2
        assert page.get_by_text("the first is shown").is_visible()
        page.locator("#unfold-all").click()
        assert page.locator(badges).all_text_contents() == ["Σ m=4 · axis 0"] * 16
        assert not page.get_by_text("the first is shown").is_visible()
        page.locator("[data-is=frame] > text").first.click()
    page = load(tg.draw(residual, *four()))  # a once, W of the first block, b of all
    assert sorted(page.locator(badges).all_text_contents()) == [
        "Σ m=5 · axis 0",
        "Σ m=5 · axis 0",
        "Σ m=5 · axis 0 × 4 uses",
    ]
    assert joined(page) != set()


# ------------------------------------------------------------------------------------------------ what is in sight


def linear(params, x, y):
    return np.square(x @ params["w"] + params["b"] - y).mean()


def test_stepping_moves_nothing_while_all_is_in_sight(load):
    rng = np.random.default_rng(0)
    page = load(tg.draw(linear, {"w": rng.normal(size=3), "b": np.zeros(())}, rng.normal(size=(4, 3)), np.ones(4)))
    page.set_viewport_size({"width": 1200, "height": 800})
    page.keyboard.press("0")
    assert page.evaluate("Object.keys(data.boxes)") == [
        id_ for id_ in page.evaluate("Object.keys(data.boxes)") if page.evaluate(INSIDE, id_)
    ]
    before = page.evaluate(PLACE)
    for _ in range(page.evaluate("data.steps.length")):
        page.keyboard.press(".")
        assert page.evaluate(PLACE) == before


def test_stepping_moves_as_little_as_needed(load):
    page = load(tg.draw(recurrent, *turns(16)))
    page.locator("#unfold-all").click()
    moves = 0
    for step in page.evaluate("data.steps"):
        inside, before = page.evaluate(INSIDE, step["box"]), page.evaluate("picture.view")
        page.keyboard.press(".")
        after = page.evaluate("picture.view")
        assert page.evaluate(INSIDE, step["box"])
        assert (before == after) == inside
        assert after["scale"] == before["scale"]
        moves += before != after
    assert moves > 2


def test_the_page_opens_with_all_that_can_be_read(load):
    page = load(tg.draw(recurrent, *turns(), unfold=True, limit=1000))
    page.set_viewport_size({"width": 1200, "height": 800})
    page.reload()
    page.wait_for_selector("body.ready")
    result = page.evaluate("Object.keys(data.boxes).find((id) => data.boxes[id].kind === 'output')")
    assert not page.evaluate(INSIDE, result)
    assert page.evaluate("picture.view.scale") >= 0.6
    assert page.evaluate(INSIDE, titled(page, "U"))
    assert "Fit shows all" in page.locator("#hint").inner_text()
    page.locator("#fit").click()
    assert page.evaluate(INSIDE, result)
    assert not page.locator("#hint").is_visible()
    page = load(tg.draw(residual, *four(), depth=2))
    page.set_viewport_size({"width": 1200, "height": 800})
    page.reload()
    page.wait_for_selector("body.ready")
    assert all(page.evaluate(INSIDE, id_.removesuffix("-folded")) for id_ in shown(page))
    assert not page.locator("#hint").is_visible()


def test_a_hit_can_be_read(load):
    page = load(tg.draw(recurrent, *turns(30)))
    page.locator("#unfold-all").click()
    page.locator("#fit").click()
    assert page.evaluate("picture.view.scale") < 0.3
    page.keyboard.press("/")
    page.keyboard.type("tanh")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    found = page.locator(".found")
    assert page.evaluate(INSIDE, found.get_attribute("id"))
    assert found.locator("text").first.bounding_box()["height"] >= 8
    page.keyboard.press("Escape")
    go(page, 1)
    assert page.evaluate("picture.view.scale") == pytest.approx(0.8)
