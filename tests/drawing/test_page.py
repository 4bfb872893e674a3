"""The interactive page: the numbers that it shows are those of the arrays, whatever is drawn, and names are text."""

import numpy as np
import pytest
from pages import assert_no_overlaps, assert_shown, blocks, go, numbers, recurrent, running, shown, steps, titled, turns

import tinygrad_mb as tg

HOSTILE = [
    '"quoted" \'twice\'', "<b>bold</b>", "</script><script>window.broken = 1</script>", "<!-- <script>", "two\nlines",
    "<img src=x onerror='window.broken = 1'>", "δ é 漢字 🙂", "x" * 10_000, "back\\slash \\N", "nul\0 bell\a",
    "a&b;&lt;", "\ud800 surrogate", "${data} $script", "]]>", "{{x}}", "constructor", "__proto__",
]  # fmt: skip


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
    go(page, min(positions.values()))
    assert page.locator("#step h2").text_content() == f"Backward 1 of {len(positions)}"
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


OPTIONS = [
    {"view": "backward"}, {"view": "both"}, {"values": "numbers", "grads": "numbers"},
    {"values": "heat", "grads": "heat"}, {"highlight": "W"}, {"contributions": True}, {"unfold": True}, {"limit": 3},
    {"depth": 1, "example": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_every_option(load, options):
    rng = np.random.default_rng(4)
    page = load(tg.draw(blocks, {"W": rng.normal(size=(2, 2)), "s": np.ones(2)}, rng.normal(size=(3, 2)), **options))
    assert_no_overlaps(page)
    page.locator("#unfold-all").click()
    assert_no_overlaps(page)
    last = page.evaluate("data.steps.length")
    for position in range(0, last + 1, 7):
        go(page, position)
    go(page, last)
    assert page.locator("#parameters .complete").count() == 2


def test_inside_vmap_and_with_examples_in_any_place(load):
    def loss(params, x, y):
        one = lambda xi: np.tanh(xi @ params["W"]).sum()  # noqa: E731
        flat = (x.reshape(-1, 2) @ params["W"]).reshape(4, 3, 2)
        return (
            tg.vmap(one)(x).mean() + np.square(flat.transpose(1, 0, 2) - y[:, None, None]).mean(axis=(0, 2)).mean()
        ) / 2

    rng = np.random.default_rng(5)
    params, x = {"W": rng.normal(size=(2, 2))}, rng.normal(size=(4, 3, 2))
    page = load(tg.draw(loss, params, x, np.arange(3.0)))
    for position in range(int(page.locator("#slider").get_attribute("max")) + 1):
        go(page, position)
    assert_shown(running(page, "W"), tg.grad(loss)(params, x, np.arange(3.0))["W"])


def test_two_results(load):
    w = tg.Tensor(np.ones(3), requires_grad=True, name="w")
    page = load(tg.draw((w * 2.0).named("double"), np.square(w).sum().named("square"), w))
    assert page.locator(".node.output").count() == 2
    assert page.locator("#step .note").first.text_content() == "gradients are those of the sum of all results"
    go(page, page.evaluate("data.steps.length"))
    assert_shown(running(page, "w"), np.full(3, 2.0 + 2.0 + 1.0))


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


# ------------------------------------------------------------------------------------------------ what it says


def linear(params, x, y):
    return np.square(x @ params["w"] + params["b"] - y).mean()


def line():
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=3), "b": np.zeros(())}, rng.normal(size=(4, 3)), rng.normal(size=4)


def test_rules_call_values_without_names_by_their_numbers(load):
    page = load(tg.draw(linear, *line()))
    rules = page.evaluate("data.edges.map((edge) => edge.rule)")
    assert not any("·" in rule for rule in rules)
    go(page, steps(page, "backward")["square(·)"])
    number = page.evaluate("(id) => data.boxes[id].number", titled(page, "· - y"))
    assert page.locator("#step .passed code").first.text_content() == f"2 δ ⊙ #{number}"
    where = page.locator("#step .where").text_content()
    assert where == f"#{number} = #{page.evaluate('(id) => data.boxes[id].number', titled(page, '· + b'))} - y"
    page.keyboard.press("/")
    page.keyboard.type(f"#{number}")
    page.keyboard.press("Enter")
    assert page.locator(".found").get_attribute("id") == titled(page, "· - y")


def test_the_page_says_whose_the_numbers_are_when_an_example_is_chosen(load):
    page = load(tg.draw(linear, *line()))
    box = page.locator(f"#{titled(page, '· - y')}")
    before = box.text_content()
    assert page.locator(".own-numbers").count() == 0
    page.locator("#example").fill("1")
    said = page.locator(".own-numbers").text_content()
    assert "those of example 1; boxes in the picture keep those of all" in said
    assert box.text_content() == before
    page.keyboard.press("Escape")
    page.locator("#example-all").click()
    assert page.locator(".own-numbers").count() == 0


def untold():
    w = tg.Tensor(np.ones(2), requires_grad=True, name="w")
    return np.square(w).sum() * np.square(tg.Tensor(np.ones((3, 2)), name="x")).sum()


def several():
    w = tg.Tensor(np.ones(3), requires_grad=True, name="w")
    return (w * 2.0).sum(), np.square(w).sum()


@pytest.mark.parametrize(
    ("make", "note", "whose"),
    [
        (lambda: (untold(),), "examples are not told apart", None),
        (several, "gradients are those of the sum of all results", "the sum of all results"),
        (
            lambda: (tg.Tensor(np.ones(3), requires_grad=True, name="w") * 2.0,),
            "examples are not told apart",
            "the sum of all numbers of the result",
        ),
    ],
    ids=["not told apart", "several results", "no scalar"],
)
def test_notes_can_be_read_at_every_step_and_no_gradient_is_complete(load, make, note, whose):
    page = load(tg.draw(*make()))
    last = page.evaluate("data.steps.length")
    for position in (0, last):
        go(page, position)
        notes = page.locator("#parameters .note").all_text_contents()
        assert notes == ([] if whose is None else [f"gradients are those of {whose}"])
    assert running(page, "w") is not None
    assert page.locator(".complete").count() == 0
    assert "complete" not in page.locator("#parameters").inner_text()
    page.keyboard.press("?")
    assert note in page.locator("#help-notes").inner_text()
