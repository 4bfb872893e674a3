"""Optimizers against their formulas, written as in the papers, over several steps."""

import copy

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import nn, optim

random = np.random.default_rng(3)
SHAPES = ((), (3,), (4, 5))


class NaiveSGD:
    def __init__(self, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
        self.lr, self.momentum, self.nesterov, self.weight_decay = lr, momentum, nesterov, weight_decay
        self.v = 0.0

    def __call__(self, theta, g):
        g = g + self.weight_decay * theta
        self.v = self.momentum * self.v + g
        return theta - self.lr * (g + self.momentum * self.v if self.nesterov else self.v)


class NaiveAdam:
    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.lr, self.betas, self.eps, self.weight_decay, self.decoupled = lr, betas, eps, weight_decay, decoupled
        self.m, self.v, self.t = 0.0, 0.0, 0

    def __call__(self, theta, g):
        (beta1, beta2), self.t = self.betas, self.t + 1
        decay = self.weight_decay * theta
        g = g if self.decoupled else g + decay
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        m, v = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        return theta - self.lr * (m / (np.sqrt(v) + self.eps) + (decay if self.decoupled else 0))


CASES = {
    "sgd": (optim.SGD, NaiveSGD, {"lr": 0.1}),
    "sgd weight decay": (optim.SGD, NaiveSGD, {"lr": 0.1, "weight_decay": 0.3}),
    "momentum": (optim.SGD, NaiveSGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum weight decay": (optim.SGD, NaiveSGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}),
    "nesterov": (optim.SGD, NaiveSGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "nesterov weight decay": (optim.SGD, NaiveSGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2}),
    "adam": (optim.Adam, NaiveAdam, {}),
    "adam weight decay": (optim.Adam, NaiveAdam, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.1, "weight_decay": 0.3}),
    "adamw": (optim.AdamW, lambda **s: NaiveAdam(decoupled=True, **s), {"lr": 0.1, "weight_decay": 0.3}),
}
every_case = pytest.mark.parametrize(("optimizer", "naive", "settings"), CASES.values(), ids=CASES)


def new_parameters(dtype=float):
    return {f"p{k}": tg.Tensor(random.normal(size=s), requires_grad=True, dtype=dtype) for k, s in enumerate(SHAPES)}


def give_gradients(parameters, scale=1.0):
    for p in parameters:
        p.grad = scale * random.normal(size=p.shape)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@every_case
def test_steps_are_those_of_the_formula(optimizer, naive, settings, dtype):
    parameters = new_parameters(dtype)
    arrays = {path: p.data for path, p in parameters.items()}
    twins = {path: naive(**settings) for path in parameters}
    expected = {path: p.data.astype(float) for path, p in parameters.items()}
    opt = optimizer(parameters, **settings)
    for _ in range(6):
        give_gradients(parameters.values())
        gradients = {path: p.grad.copy() for path, p in parameters.items()}
        opt.step()
        for path, p in parameters.items():
            expected[path] = twins[path](expected[path], gradients[path].astype(float))
            assert p.data is arrays[path], "changed in place"
            assert p.dtype == dtype
            np.testing.assert_array_equal(p.grad, gradients[path])
            np.testing.assert_allclose(
                p.data, expected[path], rtol=1e-13 if p.dtype == np.float64 else 1e-4, atol=1e-15
            )


@every_case
def test_a_parameter_without_gradient_is_left_alone(optimizer, naive, settings):
    parameters = new_parameters()
    skipped = parameters["p1"]
    before, twin = skipped.data.copy(), naive(**settings)
    opt = optimizer(parameters, **settings)
    give_gradients(parameters.values())
    skipped.grad = None
    opt.step()
    np.testing.assert_array_equal(skipped.data, before)
    give_gradients(parameters.values())
    opt.step()
    np.testing.assert_allclose(skipped.data, twin(before, skipped.grad), rtol=1e-14)


@every_case
def test_the_learning_rate_can_change(optimizer, naive, settings):
    w, twin = tg.Tensor([1.0, 2.0], requires_grad=True), naive(**settings)
    opt, expected = optimizer([w], **settings), w.data.copy()
    for lr in 0.5, np.float64(0.25), 0:
        opt.lr = twin.lr = lr
        give_gradients([w])
        opt.step()
        expected = twin(expected, w.grad)
        np.testing.assert_allclose(w.data, expected, rtol=1e-14)


@every_case
def test_training_goes_on_from_a_saved_state(optimizer, naive, settings):
    def run(opt, parameters, gradients):
        for g in gradients:
            for p, part in zip(parameters, g, strict=True):
                p.grad = part
            opt.step()

    start = new_parameters()
    gradients = [[random.normal(size=s) for s in SHAPES] for _ in range(5)]
    whole, parts = copy.deepcopy(start), copy.deepcopy(start)
    run(optimizer(whole, **settings), whole.values(), gradients)
    first = optimizer(parts, **settings)
    run(first, parts.values(), gradients[:3])
    saved = copy.deepcopy(first.state_dict())
    second = optimizer(parts, **{**settings, "lr": 77.0})
    second.load_state_dict(saved)
    run(second, parts.values(), gradients[3:])
    for a, b in zip(whole.values(), parts.values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert first.state_dict()["state"].keys() == start.keys()
    for path in start:
        for slot, value in saved["state"][path].items():
            np.testing.assert_array_equal(first.state_dict()["state"][path][slot], value)


def test_parameters_of_any_layout_and_dtypes_side_by_side():
    data = random.normal(size=(6, 8))
    views = [data.T.copy().T, np.zeros((6, 16))[:, ::2], data.astype(np.float32), np.zeros((0, 3))]
    parameters = [tg.Tensor(v, requires_grad=True) for v in views]
    expected = [v - 0.5 * np.ones_like(v) for v in views]
    opt = optim.SGD(parameters, lr=0.5)
    for p in parameters:
        p.grad = np.ones(p.shape)
    opt.step()
    for p, right in zip(parameters, expected, strict=True):
        np.testing.assert_array_equal(p.data, right)
        assert p.dtype == right.dtype


def test_modules_nests_and_shared_parameters():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), np.tanh, nn.Linear(3, 1, rng=0))
    assert list(optim.Adam(net).state_dict()["state"]) == list(net.named_parameters())
    w, v = (tg.Tensor([1.0], requires_grad=True) for _ in range(2))
    opt = optim.SGD({"a": [w, (v, w)], "none": None}, lr=0.5)
    assert list(opt.state_dict()["state"]) == ["a.0", "a.1.0"]
    (2 * w + v).sum().backward()
    opt.step()
    assert (w.item(), v.item()) == (0.0, 0.5)
    opt.zero_grad()
    assert w.grad is None
    assert v.grad is None
    assert repr(opt) == "SGD(2 parameters, lr=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)"


def test_least_squares_is_solved():
    X, true = random.normal(size=(50, 3)), np.array([1.0, -2.0, 0.5])
    for make in (lambda p: optim.SGD(p, 0.1), lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
                 lambda p: optim.Adam(p, 0.1)):  # fmt: skip
        w = tg.Tensor(np.zeros(3), requires_grad=True)
        opt = make(w)
        for _ in range(300):
            opt.zero_grad()
            nn.squared_error(X @ w, X @ true).mean().backward()
            opt.step()
        np.testing.assert_allclose(w.data, true, atol=1e-4)


# ---------------------------------------------------------------------------------------------- bad input

GOOD = tg.Tensor([1.0], requires_grad=True, name="w")


@pytest.mark.parametrize(("params", "error", "message"), [
    ([], ValueError, "SGD: there are no parameters"),
    (nn.Module(), ValueError, "there are no parameters"),
    ([GOOD, np.ones(2)], TypeError, "wants a Module, or a nest .* of Tensors: parameter 1 is a ndarray"),
    ((p for p in [GOOD]), TypeError, "params is a generator"),
    ({"layer": {"W": 1.0}}, TypeError, r"parameter layer\.W is a float"),
    ([tg.Tensor([1.0], name="c")], ValueError, r"parameter 0, c \(1,\) float64, needs requires_grad=True"),
    ([GOOD * 2], ValueError, "parameter 0, .* was computed: only leaves can be trained"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused(params, error, message):
    with pytest.raises(error, match=message):
        optim.SGD(params, lr=0.1)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: optim.SGD([GOOD], -0.1), ValueError, "SGD: lr must be at least 0 and finite, not -0.1"),
    (lambda: optim.SGD([GOOD], float("nan")), ValueError, "lr must be at least 0 and finite, not nan"),
    (lambda: optim.SGD([GOOD], "fast"), TypeError, "lr must be a number, not 'fast'"),
    (lambda: optim.SGD([GOOD], 0.1, momentum=1), ValueError, "momentum must be at least 0 and below 1, not 1.0"),
    (lambda: optim.SGD([GOOD], 0.1, nesterov=True), ValueError, "nesterov=True needs a momentum"),
    (lambda: optim.Adam([GOOD], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be at least 0 and below 1"),
    (lambda: optim.Adam([GOOD], eps=-1), ValueError, "eps must be"),
    (lambda: optim.AdamW([GOOD], weight_decay=float("inf")), ValueError, "AdamW: weight_decay must be"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_state_that_does_not_fit_is_refused_whole():
    opt = optim.SGD({"a": GOOD}, 0.1, momentum=0.9)
    for other, message in (
        (optim.SGD({"b": GOOD}, 0.1, momentum=0.9), "missing: a\n  unexpected: b"),
        (optim.SGD({"a": GOOD}, 0.1), "a: .*'steps'.* not .*'velocity'"),
        (optim.SGD({"a": tg.Tensor([1.0, 2.0], requires_grad=True)}, 0.1, momentum=0.9), r"\(2,\)"),
        (optim.Adam({"a": GOOD}), "settings: "),
    ):
        with pytest.raises(ValueError, match=message):
            opt.load_state_dict(other.state_dict())
        assert opt.lr == 0.1


def test_a_computed_number_that_becomes_a_parameter_can_be_trained():
    t = tg.Tensor(2.0) * 3
    t.requires_grad = True
    sgd = tg.optim.SGD([t], lr=0.5)
    (t * t).backward()
    sgd.step()
    assert t.item() == 0.0
