"""``draw``: its errors, and graphs of all sorts."""

import numpy as np
import pytest
from test_dot import texts_of

import tinygrad_mb as tg

X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)
PARAMS = {"W": np.ones((3, 4)), "v": np.ones(4)}


def loss(params, x, y):
    return np.square(np.tanh(x @ params["W"]) @ params["v"] - y).mean()


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"view": "up"}, ValueError, '"forward", "backward" or "both", not \'up\''),
        ({"values": "colour"}, ValueError, 'values is "numbers", "heat" or False, not \'colour\''),
        ({"values": True}, ValueError, 'values is "numbers", "heat" or False, not True'),
        ({"grads": 3}, ValueError, 'grads is "numbers", "heat" or False, not 3'),
        ({"example": 5}, IndexError, "there is no example 5; 5 examples are told apart"),
        ({"example": -1}, IndexError, "there is no example -1"),
        ({"example": 1.0}, TypeError, "example is the number of an example, a whole number from 0 on, not 1.0"),
        ({"depth": -1}, ValueError, "depth"),
        ({"limit": 0}, ValueError, "limit"),
        ({"highlight": "nothing"}, ValueError, "'nothing' is not in this graph"),
    ],
)
def test_options_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        tg.draw(loss, PARAMS, X, Y, **options)


def test_draw_refuses_what_has_no_graph():
    with pytest.raises(TypeError, match=r"tg\.draw\(loss\)"):
        tg.draw()
    with pytest.raises(TypeError, match="got ndarray"):
        tg.draw(np.ones(3))
    with pytest.raises(TypeError, match="got list"):
        tg.draw([parameter(1.0) * 2.0])
    with pytest.raises(IndexError, match="no example 0; 0 examples are told apart: the loss is no sum or mean"):
        tg.draw(np.square(parameter(np.ones(3))).sum(), example=0)


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: (np.zeros((0, 3)) @ parameter(np.ones((3, 2)))).sum(),
        lambda: (np.zeros((4, 0)) @ parameter(np.ones((0, 2)))).mean(),
        lambda: np.full((3, 2), np.nan) @ parameter(np.ones((2, 2))),
        lambda: (np.full((3, 2), np.inf) * parameter(np.ones(2))).mean(),
        lambda: (np.ones((3, 2), np.float32) @ parameter(np.ones((2, 2), np.float32))).mean(),
        lambda: (np.ones((3, 2), int) @ parameter(np.ones((2, 2)))).mean(),
        lambda: (np.array([True, False]) * parameter(np.ones(2))).sum(),
        lambda: (np.ones((1, 2)) @ parameter(np.ones((2, 2)))).sum(axis=1).mean(),
        lambda: parameter(2.0) * parameter(3.0) + 1.0,
        lambda: parameter(np.ones((2, 3, 4, 5))).sum(axis=(1, 2)),
    ],
)
@pytest.mark.parametrize("numbers", ["numbers", "heat"])
def test_all_sorts_of_arrays(make, direction, numbers):
    texts = texts_of(tg.draw(make(), view=direction, values=numbers, grads=numbers, contributions=True).source)
    assert any("∂L/∂" in text or "parameter" in text for text in texts)


def test_second_derivatives_and_no_grad():
    w = parameter(np.ones(3), "w")
    slope = np.tanh(w * w).sum().gradient(w, create_graph=True)
    assert "tanh" in tg.draw((slope * slope).sum(), view="both").source
    with tg.no_grad():
        assert "parameter" in tg.draw(slope).source
        assert "parameter" not in tg.draw(w * 2.0).source
