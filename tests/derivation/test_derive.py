"""What ``derive`` takes, what it refuses, and how its programs look."""

import re

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.derivation.arguments import computed
from tinygrad_mb.derivation.sizes import fitted, form_of, over, times
from tinygrad_mb.errors import NotDifferentiableError, TracedValueError
from tinygrad_mb.pytrees import Nest
from tinygrad_mb.vjps.indexing import scatter_add

RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.normal(size=(6, 3)), RNG.normal(size=6), RNG.integers(0, 4, 6)
W = RNG.normal(size=3)
NET = {"W": RNG.normal(size=(3, 4)), "v": RNG.normal(size=4)}


def net(params, x, y):
    h = np.tanh(x @ params["W"])
    f = h @ params["v"]
    return np.square(f - y).mean()


def function(text):
    namespace = {}
    exec(text, namespace)
    return namespace["gradients"]


def check(loss, params, *batch, more=(), tolerance=1e-12):
    """The text of a derivation whose function gives the engine's numbers, on the batch and on others."""
    text = tg.derive(loss, params, *batch).numpy()
    for data in (batch, *more):
        value, gradients = function(text)(params, *data)

        def total(params, *data):
            out = loss(params, *data)
            return out.sum() if np.ndim(out) else out

        expected, expected_gradients = tg.value_and_grad(total)(params, *data)
        np.testing.assert_allclose(value, expected, rtol=tolerance)
        pairs = zip(Nest(gradients).leaves, Nest(expected_gradients).leaves, strict=True)
        for gradient, wanted in pairs:
            assert np.shape(gradient) == wanted.shape
            assert gradient.dtype == wanted.dtype
            np.testing.assert_allclose(gradient, wanted, rtol=tolerance, atol=tolerance)
    return text


def lines(text):
    """The statements, without what is beside them."""
    return [line.partition("#")[0].strip() for line in text.splitlines() if line.partition("#")[0].strip()]


def test_the_users_names_and_the_sums_over_the_examples():
    text = check(net, NET, X, Y, more=[(X[:2], Y[:2]), (X[:1], Y[:1])])
    assert lines(text)[2:] == [
        '"""The loss, and its gradient by each parameter."""',
        'W, v = params["W"], params["v"]',
        "m = len(x)",
        "z = x @ W",
        "h = np.tanh(z)",
        "f = h @ v",
        "error = f - y",
        "loss = (error**2).mean()",
        "df = 2 / m * error",
        "dv = h.T @ df",
        "dh = df[:, None] * v",
        "dz = dh * (1 - h * h)",
        "dW = x.T @ dz",
        'return loss, {"W": dW, "v": dv}',
    ]
    assert "dW = x.T @ dz          # (3, m) @ (m, 4): Σ over the m examples" in text


def said(text):
    """What is said beside each variable of a printed function."""
    pairs = [line.partition("  # ") for line in text.splitlines()]
    return {code.split()[0]: comment for code, _, comment in pairs if comment and code.strip()}


def test_sums_over_the_examples_are_said_where_they_are_and_nowhere_else():
    def largest(w, x):
        z = x @ w
        top = z.max()
        return (z - top).mean() + 0.1 * (w * w).sum()

    beside = said(check(largest, W, X, more=[(X[:4],)]))
    assert beside["top"] == "scalar"
    assert beside["loss"] == "scalar: mean over the m examples"  # the sum is over something else
    assert beside["dw"] == "(3,): Σ over the m examples"

    def half(w, x, y):
        z = x[::2] @ w
        error = z - y[::2]
        return (error * error).sum()

    text = check(half, W, X, Y)
    assert "Σ" not in text
    assert said(text)["z"] == "(3, 3) @ (3,) -> (3,)"

    def centred(w, x):
        z = x @ w
        c = z - z.mean()
        last = z[1:].sum()
        return np.einsum("i,i->", c, c) + np.tensordot(z, z, 1) + last

    beside = said(check(centred, W, X, more=[(X[:4],)]))
    assert beside["c"] == "(m,): mean over the m examples"
    assert beside["last"] == "((m - 1),) -> scalar"
    assert beside["loss"] == "scalar: Σ over the m examples"

    table = check(lambda w, x: np.tanh(tg.nn.embedding(w["E"], x)).mean(), {"E": NET["W"]}, LABELS % 3)
    assert "(3, 4): Σ over the m examples" in table


def test_what_half_of_the_examples_gives_is_right_for_their_number_and_says_so():
    text = check(lambda w, x: np.tanh(x @ w)[::2].sum(), W, X)
    assert "NB: the number 3 holds for 6 examples only" in text
    with pytest.raises(AssertionError):
        function(text)(W, X[:5])


def test_the_examples_are_what_most_arrays_of_the_batch_have():
    def turned(w, A, x, y):
        return np.square(x @ A @ w - y).mean()

    A = RNG.normal(size=(3, 3))
    text = check(turned, W, A, X, Y, more=[(A, X[:4], Y[:4])])
    assert "m = len(x)" in text
    assert "NB" not in text
    text = check(lambda w, A, x: (x @ A @ w).mean(), W, A, X, more=[(A, X[:4])])  # one array of either length
    assert "m = len(x)" in text


def test_arrays_that_have_the_number_of_examples_as_their_length_by_chance():
    def weighted(W, weights, x, y):
        return (np.exp(x @ W) * weights).sum(axis=1).mean() + y.mean()

    params, weights = RNG.normal(size=(3, 6)), RNG.random(6)
    text = check(weighted, params, weights, X, Y, more=[(weights, X[:4], Y[:4])])
    assert "m = len(x)" in text
    assert "NB" not in text

    def six(w, x, ids):
        return np.tanh((x @ w).reshape(3, 2)).sum()

    text = check(six, W, X, LABELS)  # not to be taken as a function of the array that it does not use
    assert "NB: the function runs for 6 examples only" in text
    assert "assert len(x) == 6" in text


def test_what_only_changes_the_shape_is_not_an_assignment():
    def rows(params, x):
        means = params["w"][None, :].mean(axis=1, keepdims=True)
        return (means * x).mean() + (params["b"][None, :, None].sum(axis=0) * x.T).mean()

    text = check(rows, {"w": W, "b": W + 1}, X, more=[(X[:4],)])
    assert "zeros" not in text
    assert "broadcast_to(" not in text.partition("# backward")[2]


def test_fractions_of_the_number_of_examples():
    text = check(lambda w, x: 2 * (w * x).mean(), W, X, more=[(X[:4],)])
    assert "2 / (3 * m)" in text
    third, size = fitted([1 / 15, 1 / 18, 1 / 24], [5, 6, 8]), fitted([5 / 3, 6 / 3, 8 / 3], [5, 6, 8])
    assert (str(third), str(size)) == ("1 / (3 * m)", "m / 3")
    assert str(times(0.1, fitted([0.2, 1 / 6, 0.125], [5, 6, 8]))) == "0.1 / m"


def test_probabilities_where_p_is_an_argument():
    params = RNG.normal(size=(3, 4))
    text = check(lambda p, x, y: tg.nn.cross_entropy(x @ p, y).mean(), params, X, LABELS, more=[(X[:4], LABELS[:4])])
    assert "probabilities = e / total" in lines(text)
    text = check(lambda p, x: np.square(tg.nn.softmax(x @ p)).mean(), params, X, more=[(X[:4],)])
    assert any(line.startswith("probabilities = e / ") for line in lines(text))


def test_named_tensors_and_several_values_of_one_name():
    def loss(params, x):
        h = x
        for _ in range(2):
            h = np.tanh(h @ params["W"])
        return np.square(h).sum(axis=1).named("per_example").mean()

    text = check(loss, {"W": RNG.normal(size=(3, 3))}, X)
    assert {"h1 = np.tanh(z1)", "h2 = np.tanh(z2)"} <= set(lines(text))
    assert any(line.startswith("per_example = ") for line in lines(text))


def test_a_vector_of_losses_means_their_sum():
    text = check(lambda w, x, y: np.square(x @ w - y), W, X, Y)
    assert "The sum of the losses" in text
    assert "return loss, dw" in text


def test_nests_and_modules():
    def loss(params, batch):
        layer, v = params
        return np.square(np.tanh(batch["x"] @ layer["W"]) @ v - batch["y"]).mean()

    text = check(loss, [{"W": NET["W"]}, NET["v"]], {"x": X, "y": Y})
    assert 'x, y = batch["x"], batch["y"]' in lines(text)
    model = tg.nn.Sequential(tg.nn.Linear(3, 4, rng=0), np.tanh, tg.nn.Linear(4, 4, rng=1))
    text = tg.derive(lambda model, x, y: tg.nn.cross_entropy(model(x), y).mean(), model, X, LABELS).numpy()
    params = {name: p.numpy() for name, p in model.named_parameters().items()}
    value, gradients = function(text)(params, X, LABELS)
    loss = tg.nn.cross_entropy(model(X), LABELS).mean()
    loss.backward()
    np.testing.assert_allclose(value, loss.numpy(), rtol=1e-12)
    for name, p in model.named_parameters().items():
        np.testing.assert_allclose(gradients[name], p.grad, rtol=1e-12, atol=1e-12)


def test_names_that_python_or_the_text_needs():
    def loss(params, x):
        return (x @ params["lambda"] + params["m"] + params["x"] * params["np"]).mean()

    check(loss, {"lambda": W, "m": np.ones(()), "x": np.ones(()), "np": np.ones(2)[0:1]}, X)


def test_single_precision():
    text = check(net, {k: v.astype(np.float32) for k, v in NET.items()}, X.astype(np.float32), Y.astype(np.float32),
                 tolerance=1e-5)  # fmt: skip
    assert "float64" not in text


def test_parameters_that_the_loss_does_not_depend_on():
    text = check(lambda params, x: (x @ params["a"]).mean(), {"a": W, "b": np.ones(2)}, X)
    assert "db = np.zeros_like(b)" in lines(text)


def test_numbers_among_the_arguments():
    def loss(w, x, rate, times=1):
        return times * (x @ w).mean() + rate * (w * w).sum()

    text = check(loss, W, X, 0.25, 3)
    assert "lam" not in text
    with pytest.raises(AssertionError, match="derived for this value"):
        function(text)(W, X, 0.25, 4)
    _, gradient = function(text)(W, X, 0.5, 3)  # a float is data
    np.testing.assert_allclose(gradient, 3 * X.mean(axis=0) + W, rtol=1e-12)


def test_constants_of_the_function():
    table, start = np.array([[1.0, 2.0, 0.5]]), np.arange(3.0)

    def loss(w, x):
        return np.square(np.ones(len(x)) - x @ (w * table[0] - start) + np.full((len(x),), 2.0) / len(x)).mean()

    check(loss, W, X, more=[(X[:4],)])
    large = RNG.normal(size=(3, 400))
    with pytest.raises(NotDifferentiableError, match="pass it as an argument"):
        tg.derive(lambda w, x: (w @ large + x.sum()).sum(), W, X).numpy()


def test_vmap_second_derivatives_and_hand_made_primitives():
    @tg.primitive
    def swish(x, beta=1.0):
        return x / (1 + np.exp(-beta * x))

    tg.defvjp(swish, x=lambda g, x, out, beta: g * (beta * out + (1 - beta * out) / (1 + np.exp(-beta * x))))

    def one(params, x, y):
        return np.square(np.tanh(x @ params["W"]) @ params["v"] - y)

    check(lambda params, x, y: tg.vmap(lambda x, y: one(params, x, y))(x, y).mean(), NET, X, Y, more=[(X[:3], Y[:3])])
    check(lambda params, x: swish(x @ params["W"], 2.0).mean(), NET, X, more=[(X[:3],)])
    text = check(lambda params, x: tg.vmap(lambda x: swish(x @ params["W"]).sum())(x).mean(), NET, X)
    assert "right for 6 examples only" in text  # vmap calls a user's primitive for one example after the other
    check(lambda w, x: np.square(tg.grad(lambda w: np.tanh(x @ w).sum())(w)).sum(), W, X, more=[(X[:3],)])


def test_a_loop_over_examples_is_right_for_their_number_and_says_so():
    text = check(lambda w, x: sum(np.tanh(row @ w) for row in x), W, X)
    assert "right for 6 examples only" in text
    with pytest.raises(AssertionError):
        function(text)(W, X[:5])
    text = check(lambda w, x: ((x @ w) * np.cos(np.arange(len(x)))).sum(), W, X)
    assert "a constant array of shape (6,) holds for 6 examples only" in text
    with pytest.raises(AssertionError):
        function(text)(W, X[:5])


CLASS_WEIGHTS = np.array([1.0, 0.5, 2.0, 0.25])


def test_plain_arrays_may_be_indexed_by_data():
    """One-hot rows, and tables: of the function, of its closure and of its module."""
    offsets, more = np.array([3.0, 1.0, 4.0, 1.0]), [(X[:2], LABELS[:2] * 0 + 3), (X[:1], LABELS[:1])]

    def rows(labels, count):
        return np.eye(count)[labels]

    def one_hot(params, x, labels):
        z = x @ params["W"]
        Y = rows(labels, z.shape[1])
        return np.square(z - 0.9 * Y - 0.025).mean()

    assert "Y = np.eye(4)[labels]" in lines(check(one_hot, {"W": NET["W"]}, X, LABELS, more=more))
    page = tg.derive(one_hot, {"W": NET["W"]}, X, LABELS)
    assert "Y     = onehot(labels)" in page.text()
    assert r"Y &= \operatorname{onehot}(\mathrm{labels})" in page.latex()

    def tables(w, x, y):
        scale = np.array([2.0, 3.0, 5.0, 7.0])
        return (scale[y] * CLASS_WEIGHTS[y] * np.tanh(x @ w) + offsets[y] * np.eye(4)[y, 1] * (x @ w)).mean()

    text = check(tables, W, X, LABELS, more=more)
    assert "np.array([1.0, 0.5, 2.0, 0.25])" in text
    assert type(CLASS_WEIGHTS) is type(offsets) is type(np.array([1.0])) is np.ndarray
    check(lambda w, x, y: np.where(y == 1, x @ w, np.tanh(x @ w)).mean(), W, X, LABELS, more=more)
    check(lambda w, x, y: -tg.nn.log_softmax(x @ w["W"])[np.arange(len(y)), y].mean(), NET, X, LABELS, more=more)


def test_what_depends_on_values_is_refused():
    def branch(w, x):
        return (x @ w).sum() if (x @ w).sum() > 0 else (x * 2 @ w).sum()

    with pytest.raises(TracedValueError, match=r"the truth value .* np\.where"):
        tg.derive(branch, W, X)
    with pytest.raises(TracedValueError, match=r"`y`.*embedding"):
        tg.derive(lambda w, x, y: (np.linspace(0, 1, 4)[y] * (x @ w)).sum(), W, X, LABELS)
    check(lambda w, x, y: (tg.nn.embedding(np.eye(4), y) * (x @ w)[:, None]).sum(), W, X, LABELS)
    check(lambda w, x, y: (tg.Tensor(np.eye(4))[y] * (x @ w)[:, None]).sum(), W, X, LABELS)


def test_random_numbers_are_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(RuntimeError, match="draws random numbers"):
        tg.derive(lambda w, x: tg.nn.dropout(x @ w, 0.5, rng).sum(), W, X)
    with pytest.raises(RuntimeError, match="draws random numbers"):
        tg.derive(lambda w, x, rng: tg.nn.dropout(x @ w, 0.5, rng).sum(), W, X, rng)
    with pytest.raises(RuntimeError, match="draws random numbers"):
        tg.derive(lambda w, x: (x @ w * np.random.normal(size=len(x))).sum(), W, X)
    with pytest.raises(RuntimeError, match="two losses for the same arguments"):
        tg.derive(lambda w, x: (x @ w * np.random.default_rng().normal(size=len(x))).sum(), W, X)
    check(lambda w, x, mask: (x @ w * mask).sum(), W, X, (Y > 0) * 2.0)


def test_what_is_no_loss_is_refused():
    with pytest.raises(TypeError, match="depends on its first argument"):
        tg.derive(lambda w, x: (x * 2).mean(), W, X)
    with pytest.raises(NotDifferentiableError, match=r"write 1\.0 for 1"):
        tg.derive(lambda w, x: (x @ w).mean(), np.arange(3), X)

    @tg.primitive
    def odd(x):
        out = np.array(x)
        out[0] = 0
        return out

    tg.defvjp(odd, x=lambda g: 2 * g)
    derivation = tg.derive(lambda w, x: odd(x @ w).mean(), W, X)
    with pytest.raises(NotDifferentiableError, match="'odd' is not made of NumPy's functions"):
        derivation.numpy()


def test_the_program_can_be_run_again():
    program = tg.derive(net, NET, X, Y).program
    known = program.run([*NET.values(), X[::-1], Y])
    value, gradients = tg.value_and_grad(net)(NET, X[::-1], Y)
    np.testing.assert_allclose(known[program.loss], value, rtol=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(known[program.outputs[name]], gradient, rtol=1e-12)
    assert {v.name: v.role for v in program.inputs} == {"W": "parameter", "v": "parameter", "x": "data", "y": "data"}
    assert {"dh", "df", "dW", "dv"} <= {v.name for v in program.variables()}
    assert str(next(v.shape for v in program.variables() if v.name == "h")) == "(m, 4)"


def test_numbers_that_follow_the_number_of_examples():
    assert form_of(fitted([3, 3, 3], [5, 6, 8])) is None
    for values, text in (
        ([5, 6, 8], "m"), ([10, 12, 16], "2 * m"), ([1 / 5, 1 / 6, 1 / 8], "1 / m"), ([4, 5, 7], "(m - 1)"),
        ([0.5, 0.4, 2 / 7], "2 / (m - 1)"), ([25, 36, 64], "m**2"), ([12, 13, 15], "(m + 7)"),
    ):  # fmt: skip
        assert str(fitted(values, [5, 6, 8])) == text
    assert fitted([1, 5, 2], [5, 6, 8]) is None
    m, inverse = fitted([5, 6, 8], [5, 6, 8]), fitted([0.2, 1 / 6, 0.125], [5, 6, 8])
    assert times(m, inverse) == 1
    assert str(times(2, inverse)) == str(over(2, m)) == "2 / m"
    assert times(m, fitted([4, 5, 7], [5, 6, 8])) is None


def test_it_touches_neither_arguments_nor_settings():
    import sys

    before, trace = {k: v.copy() for k, v in NET.items()}, sys.gettrace()
    first, again = tg.derive(net, NET, X, Y).numpy(), tg.derive(net, NET, X, Y).numpy()
    assert first == again
    assert sys.gettrace() is trace
    for name, value in NET.items():
        np.testing.assert_array_equal(value, before[name])
    assert re.search(r"Derivation of dW, dv", repr(tg.derive(net, NET, X, Y)))


def test_steps_that_were_written_out_are_as_many_as_there_were():
    def loss(p, s, y):
        h = np.zeros((len(s), 2))
        for t in range(s.shape[1]):
            h = np.tanh(s[:, t] @ p["W"] + h @ p["U"])
        return np.square(h.sum(axis=1) - y).mean()

    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(3, 2)), "U": rng.normal(size=(2, 2))}
    namespace = {}
    exec(tg.derive(loss, params, rng.normal(size=(5, 4, 3)), rng.normal(size=5)).numpy(), namespace)
    batch = rng.normal(size=(7, 4, 3)), rng.normal(size=7)
    np.testing.assert_allclose(namespace["gradients"](params, *batch)[0], loss(params, *batch), rtol=1e-13)
    with pytest.raises(AssertionError):
        namespace["gradients"](params, rng.normal(size=(7, 6, 3)), batch[1])


def test_numbers_are_written_as_a_person_means_them():
    text = check(lambda w, x: np.mean(np.tanh(x @ w / np.sqrt(3)) + (x @ w) ** 2 / 3), W, X, more=[(X[:2],)])
    assert "/ np.sqrt(3)" in text
    assert "0.333" not in text
    assert "0.577" not in text

    def squares(params, x, y):
        return np.mean((x @ params["W"] - np.eye(4)[y]) ** 2)

    text = check(squares, {"W": NET["W"]}, X, LABELS, more=[(X[:1], LABELS[:1])])
    assert "mean over all 4 * m elements" in text


def test_the_steps_of_a_loop_are_counted_along_any_axis():
    def loss(params, x, y):
        h = np.zeros((len(x), 4))
        for step in x.transpose(1, 0, 2):
            h = np.tanh(step @ params["W"] + h)
        return np.mean((h @ params["v"] - y) ** 2)

    series = RNG.normal(size=(6, 3, 3))
    text = check(loss, NET, series, Y, more=[(series[:2], Y[:2])])
    assert "assert x.shape[1] == 3  # one by one below" in text
    with pytest.raises(AssertionError):
        function(text)(NET, series[:, :2], Y)


def test_the_error_of_probabilities_by_hand():
    """Softmax and its cost in the ways that they are written, inside of a net too."""

    def attention(params, x, y):
        scores = x @ params["W"] @ params["W"].T @ x.swapaxes(1, 2) / np.sqrt(4)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        a = e / e.sum(axis=-1, keepdims=True)
        return np.mean(((a @ x @ params["W"]).mean(axis=1) @ params["v"] - y) ** 2)

    rows = RNG.normal(size=(6, 5, 3))
    text = check(attention, NET, rows, Y, more=[(rows[:2], Y[:2])])
    assert "(da - (da * a).sum(axis=2, keepdims=True)) * a" in text
    assert "scores ==" not in text  # what the largest one is has no say

    def two_sigmoids(params, x, y):
        z = np.tanh(x @ params["W"]) @ params["v"]
        p = 1 / (1 + np.exp(-z))
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

    targets = (Y > 0).astype(float)
    assert "dz = (p - y) / m" in lines(check(two_sigmoids, NET, X, targets, more=[(X[:2], targets[:2])]))

    def soft_targets(params, x, q):
        z = x @ params["W"]
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.mean(np.sum(q * np.log(p), axis=1))

    q = RNG.random((6, 4))
    text = check(soft_targets, {"W": NET["W"]}, X, q, more=[(X[:2], q[:2])])
    assert "dz = (q.sum(axis=1, keepdims=True) * p - q) / m" in lines(text)  # the targets may not add up to one


def by_time(p, x, y):
    h = np.zeros((x.shape[1], 4))
    for t in range(len(x)):
        h = np.tanh(x[t] @ p["U"] + h @ p["W"])
    return np.square(h @ p["v"] - y).mean()


def by_time_at_each(p, x, y):
    h, loss = np.zeros((x.shape[1], 4)), 0.0
    for t in range(len(x)):
        h = np.tanh(x[t] @ p["U"] + h @ p["W"])
        loss = loss + np.square(h @ p["v"] - y[t]).mean()
    return loss


CELL = {"U": RNG.normal(size=(3, 4)), "W": RNG.normal(size=(4, 4)), "v": RNG.normal(size=4)}


@pytest.mark.parametrize(("steps", "m"), [(2, 6), (4, 4), (3, 3), (5, 3)])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_series_by_time_have_their_examples_along_the_second_axis(steps, m, each, scale):
    def batch(m, steps=steps):
        return RNG.normal(size=(steps, m, 3)), RNG.normal(size=(steps, m) if each else m)

    loss, params = by_time_at_each if each else by_time, {name: scale * a for name, a in CELL.items()}
    text = check(loss, params, *batch(m), more=[batch(n) for n in (1, 2, 7, 13)])
    assert "NB" not in text
    with pytest.raises(AssertionError):
        function(text)(params, *batch(m, steps + 1))


def test_sizes_that_the_loss_takes_but_the_function_does_not_are_asserted():
    def flat(w, x, y):
        return np.square(x @ w - y).mean()

    x, y = RNG.normal(size=(4, 5, 3)), RNG.normal(size=(4, 5))
    text = check(flat, W, x, y, more=[(x[:2], y[:2])])
    assert "assert x.shape[1] == 5  # right for this size only" in text
    with pytest.raises(AssertionError):
        function(text)(W, x[:, :3], y[:, :3])
    with pytest.raises(AssertionError):
        function(text)(W, x, y[:, :1])
    free = check(lambda w, x: np.tanh(x).sum() * w, np.ones(()), x, more=[(x[:2, :3],), (x[..., :1],)])
    assert "assert" not in free
    assert "assert" not in check(net, NET, X, Y)


def test_ties_of_maximum_share_in_one_line_that_says_so():
    rows = np.vstack([np.zeros(3), X])
    text = check(lambda w, x: (np.maximum(x @ w, 0) ** 2).mean(), W, rows, more=[(X[:2],)])
    assert "dz = 2 / m * t * ((z > 0) + 0.5 * (z == 0))  # (m,): ties share" in text
    text = check(lambda w, x: np.maximum(0, x @ w).mean(), W, rows)
    assert "dz = ((z > 0) + 0.5 * (z == 0)) / m  # (m,): ties share" in text
    text = check(lambda w, x: (np.minimum(x @ w, 2 * x @ w) ** 2).mean(), W, rows)
    assert text.count("ties share") == 2
    single = [a.astype(np.float32) for a in (W, rows)]
    check(lambda w, x: (np.maximum(x @ w, 0) ** 2).mean(), *single, tolerance=1e-5)


@pytest.mark.parametrize("function_of", [tg.nn.gelu, tg.special.erf, tg.special.normal_cdf])
def test_the_error_function_is_defined_where_it_is_called(function_of):
    def loss(w, x):
        return (function_of(x @ w) ** 2).mean()

    text = check(loss, W, X, more=[(X[:1],), (100 * X,)])
    assert text.count("def erf(x):") == 1
    assert len(lines(text)) < 30
    assert max(map(len, text.splitlines())) <= 100
    check(loss, W.astype(np.float32), X.astype(np.float32), tolerance=1e-5)
    check(lambda w, x: function_of(w) * x.mean(), np.array(0.3), X)


def test_primitives_on_constants_take_numbers_as_arrays():
    found = computed(scatter_add, (0.5, np.array([0, 1, 1]), (3,)), {})
    np.testing.assert_array_equal(found, [0.5, 1.0, 0.0])
    assert found.dtype == np.float64


def test_the_error_of_labels_that_are_chosen_by_a_condition():
    def loss(w, x, y):
        p = 1 / (1 + np.exp(-(x @ w)))
        return np.where(y == 1, -np.log(p), -np.log(1 - p)).mean()

    text = check(loss, W, X, LABELS, more=[(X[:2], LABELS[:2])])  # also of labels other than 0 and 1
    assert "    dz = (p - t) / m  # (m,)\n" in text


def test_constant_arrays_keep_the_users_names():
    weights = np.array([0.125, 2.0625, 1.53125, 4.015625])
    text = check(lambda w, x, y: (weights[y] * np.tanh(x @ w)).mean(), W, X, LABELS)
    assert "    weights = np.array([0.125, 2.0625, 1.53125, 4.015625])\n" in text
    assert "weights[y]" in text


def test_windows_by_numpys_own_function():
    def loss(k, x, y):
        v = np.lib.stride_tricks.sliding_window_view(x, 2, axis=1)
        return np.square(np.tanh(v @ k).sum(axis=1) - y).mean()

    text = check(loss, np.array([0.3, -0.8]), X, X[:, 0])
    assert "np.lib.stride_tricks.sliding_window_view(x, 2, axis=1)" in text
