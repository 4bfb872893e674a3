"""The programs in docs/examples do what the pages about them claim."""

import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mb as tg

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


xor = load("xor")


def by_hand(x, y):
    """The deltas and the gradients of one example, with the math module and the chain rule only."""
    p = xor.START
    z1 = p["w11"] * x[0] + p["w12"] * x[1] + p["b1"]
    z2 = p["w21"] * x[0] + p["w22"] * x[1] + p["b2"]
    h1, h2 = math.tanh(z1), math.tanh(z2)
    d_f = p["v1"] * h1 + p["v2"] * h2 + p["c"] - y
    d1, d2 = d_f * p["v1"] * (1 - h1 * h1), d_f * p["v2"] * (1 - h2 * h2)
    gradient = {
        "w11": d1 * x[0], "w12": d1 * x[1], "b1": d1,
        "w21": d2 * x[0], "w22": d2 * x[1], "b2": d2,
        "v1": d_f * h1, "v2": d_f * h2, "c": d_f,
    }  # fmt: skip
    return {"z1": d1, "z2": d2, "f": d_f}, gradient


def close(found, expected):
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[k] for k in expected], list(expected.values()), rtol=1e-13, atol=1e-16)


def test_xor_uses_scalars_only():
    for name, tensor in xor.new_weights().items():
        assert (tensor.shape, tensor.dtype, tensor.name) == ((), np.float64, name)
    values = xor.forward(xor.new_weights(), (1.0, 0.0), 3)
    assert {k: t.name for k, t in values.items()} == {"z1": "z1[ex 3]", "z2": "z2[ex 3]", "f": "f[ex 3]"}
    assert all(t.shape == () for t in values.values())


def test_xor_one_by_one_each_example_uses_its_own_inputs():
    w = xor.new_weights()
    deltas, added = xor.one_by_one(w)
    for (x, y), delta, gradient in zip(xor.EXAMPLES, deltas, added, strict=True):
        close(delta, by_hand(x, y)[0])
        close(gradient, by_hand(x, y)[1])
    for name, tensor in w.items():
        assert tensor.grad.shape == ()
        assert tensor.grad.dtype == np.float64
        np.testing.assert_allclose(tensor.grad, sum(g[name] for g in added), rtol=1e-13, atol=1e-16)


def test_xor_batch_gives_the_mean_and_a_quarter_of_each_delta():
    alone, batch = xor.new_weights(), xor.new_weights()
    deltas, _ = xor.one_by_one(alone)
    for each, quarter in zip(deltas, xor.as_batch(batch), strict=True):
        close(quarter, {name: value / 4 for name, value in each.items()})
    close(
        {name: float(t.grad) for name, t in batch.items()},
        {name: float(t.grad) / 4 for name, t in alone.items()},
    )


def test_xor_training_steps_with_the_batch_gradient_and_solves_it():
    stepped, reference = xor.new_weights(), xor.new_weights()
    xor.as_batch(reference)
    next(xor.train(stepped, rate=0.5))
    for name, tensor in stepped.items():
        assert tensor.grad is None
        np.testing.assert_allclose(tensor.item(), xor.START[name] - 0.5 * reference[name].grad, rtol=1e-13)

    w = xor.new_weights()
    losses = list(xor.train(w))
    assert losses[0] > 0.2
    assert losses[-1] < 1e-6
    for example, (x, y) in enumerate(xor.EXAMPLES, start=1):
        assert abs(xor.forward(w, x, example)["f"].item() - y) < 1e-3


@pytest.fixture(scope="module")
def output():
    environment = os.environ | {"PYTHONPATH": str(Path(tg.__file__).parents[1]), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "xor.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_xor_prints_every_delta_and_both_gradients(output):
    numbers = [[float(n) for n in re.findall(r"-?\d+\.\d{4}\b", line)] for line in output.splitlines()]
    for x, y in xor.EXAMPLES:
        delta, gradient = by_hand(x, y)
        for expected in ([delta[k] for k in ("f", "z1", "z2")], [delta[k] / 4 for k in ("f", "z1", "z2")],
                         list(gradient.values())):  # fmt: skip
            assert any(len(n) == len(expected) and np.allclose(n, expected, atol=5.1e-5, rtol=0) for n in numbers)
    hand = [by_hand(x, y)[1]["w11"] for x, y in xor.EXAMPLES]
    wrong = np.mean([by_hand(x, y)[0]["z1"] for x, y in xor.EXAMPLES]) * np.mean([x[0] for x, _ in xor.EXAMPLES])
    assert f"right: each delta of z1 times the x1 of its own example, then the mean   {np.mean(hand):8.4f}" in output
    assert f"WRONG: the mean delta of z1 times the mean x1                            {wrong:8.4f}" in output
    pairs = re.findall(r"^\w+ +(-?\d+\.\d{14}) +(-?\d+\.\d{14})$", output, flags=re.MULTILINE)
    assert len(pairs) == 9
    for mean, batch in pairs:
        assert abs(float(mean) - float(batch)) < 2e-14


def test_the_page_about_xor_shows_the_program_s_own_output(output):
    page = (ROOT / "docs" / "xor.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)

    def lines(text):  # the last digits of the long numbers are the processor's own
        return [re.sub(r"(\.\d{12})\d\d\b", r"\1", line) for line in text.splitlines() if line]

    assert lines("".join(shown)) == lines(output)


# ---------------------------------------------------------------------------------------------- DP-SGD

dp_sgd = load("dp_sgd")


@pytest.fixture(scope="module")
def digits():
    return dp_sgd.data.load()


def flat(gradient):
    return np.concatenate([g.reshape(-1) for g in gradient.values()])


def test_dp_sgd_shortens_each_gradient_and_adds_the_generators_noise(digits):
    x, y = digits.x_train[:40], digits.y_train[:40]
    params = dp_sgd.new_params(np.random.default_rng(0))
    exact, shortened = dp_sgd.private_gradient(params, x, y, 0.0, np.random.default_rng(1))
    rows = [
        flat(tg.grad(lambda p, x=x, y=y: dp_sgd.losses(p, x, y).sum())(params))
        for x, y in zip(np.split(x, 40), np.split(y, 40), strict=True)
    ]
    lengths = np.linalg.norm(rows, axis=1)
    assert shortened == (lengths > 1).mean() > 0.5
    np.testing.assert_allclose(flat(exact), (rows / np.maximum(lengths, 1)[:, None]).sum(axis=0) / 256, atol=1e-15)
    noisy, _ = dp_sgd.private_gradient(params, x, y, 3.0, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    for name, p in params.items():
        assert noisy[name].shape == p.shape
        assert noisy[name].dtype == np.float64
        np.testing.assert_allclose(256 * (noisy[name] - exact[name]), rng.normal(0, 3, p.shape), atol=1e-12)


def test_dp_sgd_no_example_can_change_the_sum_by_more_than_the_bound(digits):
    x, y = np.concatenate([digits.x_train[:9], 1e3 * digits.x_train[9:10]]), digits.y_train[:10]  # one far outlier
    params = dp_sgd.new_params(np.random.default_rng(0))

    def total(which):
        return 256 * flat(dp_sgd.private_gradient(params, x[which], y[which], 0.0, np.random.default_rng(0))[0])

    for i in range(10):
        moved = np.linalg.norm(total(np.arange(10)) - total(np.delete(np.arange(10), i)))
        assert 0 < moved <= dp_sgd.CLIP + 1e-12
    np.testing.assert_array_equal(total(np.arange(0)), 0)  # a batch may come out empty


def test_dp_sgd_draws_each_example_by_itself():
    rng = np.random.default_rng(0)
    batches = [dp_sgd.drawn(1000, rng) for _ in range(500)]
    sizes = [len(batch) for batch in batches]
    assert all(len(set(batch)) == len(batch) for batch in batches)
    assert np.mean(sizes) == pytest.approx(256, abs=3)
    assert np.var(sizes) == pytest.approx(1000 * 0.256 * 0.744, rel=0.2)
    assert np.bincount(np.concatenate(batches), minlength=1000).min() > 80


def test_dp_sgd_learns_and_noise_costs_accuracy(digits):
    assert dp_sgd.train(digits, 1.0)[0] > 0.95
    assert 0.3 < dp_sgd.train(digits, 30.0)[0] < 0.93


def test_the_page_about_single_examples_shows_the_program_s_own_output(capsys):
    dp_sgd.main()
    page = (ROOT / "docs" / "per_example.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(q = .*?)^```$", page, flags=re.MULTILINE | re.DOTALL)[1]
    printed = capsys.readouterr().out
    assert re.sub(r"\d+\.?\d*", "#", shown) == re.sub(r"\d+\.?\d*", "#", printed)
    numbers = [[float(n) for n in re.findall(r"\d+\.?\d*", text)] for text in (shown, printed)]
    np.testing.assert_allclose(*numbers, atol=1.5, rtol=0)  # per cent, which depend a little on the processor
