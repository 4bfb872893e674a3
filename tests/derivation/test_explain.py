"""Backward explained: what is said, and that nothing is changed by saying it."""

# ruff: noqa: RUF001

import re

import numpy as np
import pytest
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.derivation.repeats import Repeat, repeats
from tinygrad_mb.graph import Node, differentiable_ancestors

X, Y = np.array([[1.0, 0.5], [-1.0, 2.0], [0.5, -1.5]]), np.array([1.0, -1.0, 0.5])


def parameter(name, *values):
    return tg.Tensor(np.array(values[0] if len(values) == 1 else values), requires_grad=True, name=name)


@pytest.fixture
def net():
    """A net with one hidden layer, three examples, and a name for everything that a person would name."""
    params = {
        "W1": parameter("W1", [0.5, -0.4], [-0.3, 0.8]),
        "b1": parameter("b1", 0.1, -0.2),
        "w2": parameter("w2", 0.6, -0.5),
        "b2": parameter("b2", 0.3),
    }
    W1, b1, w2, b2 = params.values()
    z = (tg.Tensor(X, name="x") @ W1 + b1).named("z")
    h = np.tanh(z).named("h")
    e = (h @ w2 + b2 - tg.Tensor(Y, name="y")).named("e")
    return params, {"z": z, "h": h, "e": e}, (np.square(e) / 2).named("losses").mean().named("loss")


def blocks(text):
    return re.split(r"\n(?! )", text)


def block(text, title):
    """The lines of one step, without their indent."""
    (found,) = [b for b in blocks(text) if b.startswith(title)]
    return [line.strip() for line in found.split("\n")[1:]]


def numbers(lines):
    return np.array([float(n) for line in lines for n in re.findall(r"-?\d+\.?\d*(?:e[+-]\d+)?", line)])


def test_each_step_says_what_comes_in_by_which_rule_it_goes_on_and_to_whom(net):
    _, _, loss = net
    text = str(tg.explain(loss))
    titles = [b.partition("\n")[0] for b in blocks(text)]
    assert titles == [
        "Backward from loss: 9 operations, 4 parameters",
        "#1  loss = mean(losses)",
        "#2  losses = #3 / 2  (3,)",
        "#3  square(e)  (3,)",
        "#4  e = #5 - y  (3,)",
        "#5  #6 + b2  (3,)",
        "#6  h @ w2  (3,)",
        "#7  h = tanh(z)  (3, 2)",
        "#8  z = #9 + b1  (3, 2)",
        "#9  x @ W1  (3, 2)",
        "W1  (2, 2), a parameter",
        "b1  (2,), a parameter",
        "w2  (2,), a parameter",
        "b2, a parameter",
    ]
    arrows = re.findall(r"→ .*", text)
    assert arrows == [
        "→ losses: δ / 3, spread over (3,)",
        "→ #3: (1/2) δ",
        "→ e: 2 δ ⊙ e",
        "→ #5: δ",
        "→ #6: δ",
        "→ b2: δ, summed over axis 0, which broadcasting made   ← Σ over the 3 examples",
        "→ h: δ w2ᵀ",
        "→ w2: hᵀ δ   ← Σ over the 3 examples",
        "→ z: δ ⊙ (1 − h²)",
        "→ #9: δ",
        "→ b1: δ, summed over axis 0, which broadcasting made   ← Σ over the 3 examples",
        "→ W1: xᵀ δ   ← Σ over the 3 examples",
    ]


@pytest.mark.parametrize(("loss", "signs"), [
    (lambda w: w.sum(), []),
    (lambda w: (w * w).sum(), ["⊙"]),
    (lambda w: (w * w).named("sum").sum(), ["⊙"]),
    (lambda w: (X @ w).sum(), ["arrays side by side", "ᵀ"]),
    (lambda w: tg.nn.relu(w).sum(), ["⊙", "[...]"]),
    (lambda w: w[:1].sum(), []),
    (lambda w: tg.nn.softmax(w).sum(), ["⊙", "Σⱼ"]),
    (lambda w: w[[0, 0]].sum(), ["arrays side by side", "ᵀ", "onehot(y)"]),
    (lambda w: (X * w).sum(axis=1).sum(), ["⊙", "a[:, new]"]),
])  # fmt: skip
def test_signs_are_explained_where_they_stand(loss, signs):
    head, *_ = blocks(str(tg.explain(loss(parameter("w", 1.0, 2.0)))))
    meanings = head.partition("δ of a value is the derivative of the loss by it")[2].split("\n    ")[1:]
    assert [meaning.startswith(sign) for meaning, sign in zip(meanings, signs, strict=True)] == [True] * len(signs)


def test_the_numbers_are_those_of_backward(net):
    params, values, loss = net
    text = str(tg.explain(loss))
    for t in values.values():
        t.retain_grad()
    loss.backward()
    for title, t in [("#4", values["e"]), ("#7", values["h"]), ("#8", values["z"]), *params.items()]:
        lines = [line for line in block(text, title) if "→" not in line]
        head = re.sub(r"^.*?: ?", "", lines[0])
        np.testing.assert_allclose(numbers([head, *lines[1:]]), t.grad.ravel(), atol=6e-5)


def test_one_examples_part(net):
    params, values, loss = net
    each = tg.per_example_grads(loss, params)
    delta = loss.gradient(values["z"])
    explanation = tg.explain(loss)
    assert explanation.examples == 3
    for i in range(3):
        text = str(explanation.example(i))
        (line,) = [line for line in block(text, "#8") if "δ, from" in line]
        assert line.startswith(f"δ, from #7; of example {i}: ")
        np.testing.assert_allclose(numbers([line.split(": ")[1]]), delta[i], atol=6e-5)
        for name in params:
            lines = block(text, name)
            at = next(k for k, line in enumerate(lines) if line.startswith(f"contributed by example {i}:"))
            own = numbers([lines[at].split(":")[1], *lines[at + 1 :]])
            np.testing.assert_allclose(own, each[name][i].ravel() / 3, atol=6e-5)
    for wrong in (-1, 3):
        with pytest.raises(IndexError, match=f"there is no example {wrong}; 3 examples are told apart"):
            explanation.example(wrong)


def test_single_values_can_be_asked_for(net):
    _, _, loss = net
    explanation = tg.explain(loss)
    z = explanation.about("z").split("\n")
    assert z[0] == "#8  z = #9 + b1  (3, 2)"
    assert [line.strip() for line in z[1:]] == block(str(explanation), "#8")
    assert explanation.about("#8", "b2") == "\n".join([*z, "b2, a parameter", *explanation.about("b2").split("\n")[1:]])
    assert "of example 2: " in explanation.example(2).about("z")
    with pytest.raises(KeyError, match="no value that the loss depends on is called 'x'"):
        explanation.about("x")


def test_where_there_are_no_examples_none_can_be_looked_at():
    w = parameter("w", 1.0, 2.0)
    explanation = tg.explain(np.square(w).sum())
    assert "examples are not told apart: the loss is no sum or mean" in str(explanation)
    with pytest.raises(IndexError, match="0 examples are told apart: the loss is no sum or mean"):
        explanation.example(0)


def test_uses_are_added_up_and_named():
    w = parameter("w", 1.0, 2.0)
    h = (3.0 * w).named("h")
    text = str(tg.explain((h * h + np.sin(h)).sum().named("loss")))
    assert "δ, Σ over 3 uses, by #3, #4 and #4: [ 5.01   12.9602]" in text
    assert text.count("→ h:") == 3


def test_examples_that_influence_each_other_are_noted():
    W = parameter("W", [0.5, -0.4], [-0.3, 0.8])
    z = (X @ W).named("z")
    text = str(tg.explain(np.tanh(z - z.mean(axis=0).named("mu")).sum(axis=1).mean()))
    assert "NB: the examples influence each other" in text
    assert "NB: #5 passes parts of all examples' losses to each example" in block(text, "#6  z")
    assert any(
        line.startswith("→ mu:") and line.endswith("← Σ over the 3 examples")
        for line in text.replace("    ", "").split("\n")
    )


def test_names_that_several_values_share_are_told_apart():
    h = parameter("h", 1.0, 2.0)
    for _ in range(2):
        h = np.tanh(h).named("h")
    text = str(tg.explain(h.sum()))
    assert "#2  h#2 = tanh(h#3)" in text
    assert "→ h#4: δ ⊙ (1 − h#3²)" in text
    assert "h#4  (2,), a parameter" in text


# ------------------------------------------------------------------------------------------ nothing is changed


def state(node):
    return [getattr(node, slot) for slot in Node.__slots__]


def test_the_graph_is_only_read(net):
    params, _, loss = net
    nodes, todo = {}, [loss.node]
    while todo:
        node = todo.pop()
        nodes[node] = state(node)
        todo += [n for n in node.inputs if isinstance(n, Node)]
    str(tg.explain(loss).example(1))
    for node, before in nodes.items():
        assert all(a is b for a, b in zip(before, state(node), strict=True))
    assert all(t.grad is None for t in params.values())
    loss.backward()
    assert all(t.grad.shape == t.shape for t in params.values())


def test_after_backward_it_takes_a_graph_that_was_kept(net):
    params, _, loss = net
    before = str(tg.explain(loss))
    loss.backward(retain_graph=True)
    gradient = params["W1"].grad.copy()
    assert str(tg.explain(loss)) == before
    np.testing.assert_array_equal(params["W1"].grad, gradient)
    loss.backward()
    with pytest.raises(tg.errors.GraphFreedError, match="Compute the loss anew, or keep the graph"):
        tg.explain(loss)


def test_an_explanation_outlives_what_it_explains(net):
    params, _, loss = net
    explanation = tg.explain(loss)
    before = str(explanation)
    loss.backward()
    params["W1"].data[...] = 7
    assert str(explanation) == before


def test_hooks_take_part_once():
    w = parameter("w", 1.0, 2.0)
    h = 3.0 * w
    seen = []
    h.register_hook(lambda g: seen.append(g.copy()) or 10 * g)
    text = str(tg.explain((X @ h).mean().named("loss")))
    assert len(seen) == 1
    assert isinstance(seen[0], np.ndarray)
    w.grad = None
    np.testing.assert_allclose(numbers([block(text, "w")[0].split(": ")[1]]), 30 * X.mean(axis=0), rtol=1e-4)


def test_what_cannot_be_explained_says_why():
    with pytest.raises(TypeError, match="wants the loss as a Tensor, and got float64"):
        tg.explain(np.float64(1.0))
    with pytest.raises(TypeError, match=r"and y \(\) float64 does not"):
        tg.explain(tg.Tensor(1.0, name="y"))
    with pytest.raises(TypeError, match="inside no_grad"), tg.no_grad():
        tg.explain(np.square(parameter("w", 1.0)))

    def inside(x):
        tg.explain(x * x)
        return x

    with pytest.raises(tg.errors.NotDifferentiableError, match="inside vmap"):
        tg.grad(lambda w: tg.vmap(inside)(w * np.ones(3)).sum())(1.0)


def test_a_leaf_alone():
    assert "Backward from w (2,), all of it added up: 0 operations, 1 parameter" in str(
        tg.explain(parameter("w", 1.0, 2.0))
    )


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_whatever_there_is_in_the_table_can_be_explained(problem):
    tensors = [tg.Tensor(a, requires_grad=k in problem.wrt) for k, a in enumerate(problem.inputs)]
    out = problem.run(*tensors)
    text = tg.explain(out).text(limit=None)
    assert text.count("→") == sum(len(node.plan.rules) for node in differentiable_ancestors([out.node]))
    assert all(t.grad is None for t in tensors)


# ------------------------------------------------------------------------------------------- what is left out


def test_a_loop_is_shown_by_its_first_and_its_last_time():
    U, h = parameter("U", [0.5, -0.4], [-0.3, 0.8]), np.zeros((3, 2))
    series = np.random.default_rng(0).normal(size=(300, 3, 2))
    for x in series:
        h = np.tanh(h @ U + x)
    explanation = tg.explain(np.square(h).sum(axis=1).mean())
    text = str(explanation)
    assert text.startswith("Backward from #1: 903 operations, 1 parameter\n")
    assert "… the same 3 operations 297 more times, #7 to #897, and for the last time:" in text
    assert len(blocks(text)) < 20
    assert "Σ over 300 uses, by #6, #9, #12, #15, #18, #21 and 294 more:" in text
    assert len(re.findall(r"^#\d+  ", explanation.text(limit=None), flags=re.MULTILINE)) == 903


def test_a_long_program_is_cut_and_says_so():
    rng = np.random.default_rng(0)
    h = parameter("w", 1.0, 2.0)
    for _ in range(400):
        h = [np.sin, np.tanh, np.cos, np.arctan][rng.integers(4)](h)
    many = [parameter(f"p{k}", 1.0) for k in range(70)]
    explanation = tg.explain(h.sum() + sum(p * p for p in many))
    text = str(explanation)
    shown = [int(n) for n in re.findall(r"^#(\d+)  ", text, flags=re.MULTILINE)]
    assert len(shown) <= 64
    count = int(re.match(r"Backward from #1: (\d+) operations, 71 parameters", text)[1])
    assert f"… and {count - shown[-1]} more operations: .text(limit=None) shows all" in text
    assert "… and 11 more parameters: .text(limit=None) shows all" in text
    assert "more operations" not in explanation.text(limit=None)


def test_large_arrays_are_told_by_their_size():
    W = tg.Tensor(np.full((2, 100), 0.5), requires_grad=True, name="W")
    text = str(tg.explain(np.square(X @ W).sum()))
    assert re.search(r"gradient, from #3: \(2, 100\), norm \d+\.\d+, largest \|δ\| \d+\.\d+", text)


def test_a_chain_of_many_thousands_is_no_problem():
    h = parameter("w", 1.0, 2.0)
    for _ in range(20_000):
        h = h + 0.5
    assert "… the same 1 operation 19997 more times" in str(tg.explain(h.sum()))


@pytest.mark.parametrize(("sequence", "limit", "expected"), [
    ("", 5, []),
    ("abc", 5, [0, 1, 2]),
    ("aaa", 5, [0, 1, 2]),
    ("aaaa", 5, [Repeat(0, 1, 4)]),
    ("xabababab", 5, [0, Repeat(1, 2, 4)]),
    ("ababababa", 9, [Repeat(0, 2, 4), 8]),
    ("aabaabaabaab", 9, [Repeat(0, 3, 4)]),
    ("abcdefgh", 3, [0, 1, 2]),
    ("a" * 50 + "b" * 50, 2, [Repeat(0, 1, 50)]),
])  # fmt: skip
def test_repeats(sequence, limit, expected):
    assert repeats(sequence, limit) == expected


# ------------------------------------------------------------------------------------------------- notebooks


def test_notebooks_get_html_with_everything_escaped(net):
    _, _, loss = net
    loss.name = "<b>&loss</b>"
    html = tg.explain(loss)._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;loss&lt;/b&gt; = mean(losses)" in html
    assert html.count("<div") == html.count("</div>")
    assert html.count("background:") == 4  # the sums over examples stand out
    assert repr(tg.explain(loss)) == str(tg.explain(loss))
