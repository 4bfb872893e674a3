"""Random losses: whatever is simplified on a page, its numbers are the program's.

Denominators and norms stay away from zero: there a program has guards, which a page leaves out.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from test_formulas import assert_true, gradients_of

from tinygrad_mb import nn
from tinygrad_mb.derivation.derive import derive
from tinygrad_mb.derivation.formulas import Formulas
from tinygrad_mb.derivation.passes import simplify

pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_mb.errors.BroadcastWarning")

M, D = 5, 3
UNARY = [
    np.tanh, np.sin, np.negative, nn.relu, nn.sigmoid, nn.softmax, nn.softplus, np.abs, np.square,
    lambda x: 2 * x,
    lambda x: 1 / (x * x + 1),
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: np.exp(x) / (1 + np.exp(x)),
    lambda x: np.log(1 + np.exp(x)),
    lambda x: np.exp(np.sin(x)),
    lambda x: np.sqrt(x * x + 0.5),
    lambda x: np.sqrt(np.square(np.tanh(x) - 2)),
    lambda x: (2 * np.tanh(x) - 4) ** 3 / (np.tanh(x) - 2) ** 2,
    lambda x: np.where(x > 0, x, 0.1 * x),
    lambda x: np.maximum(x, 0.5),
    lambda x: np.log(nn.sigmoid(x)) + np.log(1 - nn.sigmoid(x)),
]  # fmt: skip
ROWS = [  # (m, d) to (m, d)
    lambda x: x - x.mean(axis=1, keepdims=True),
    lambda x: x - x.mean(axis=0),
    lambda x: x / np.linalg.norm(np.tanh(x) - 2, axis=1, keepdims=True),
    lambda x: x * x.sum(axis=1)[:, None],
    lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    lambda x: x - np.log(np.exp(x).sum(axis=1, keepdims=True)),
    lambda x: x - x.max(axis=1, keepdims=True),
    lambda x: nn.log_softmax(x),
    lambda x: nn.softmax(x, axis=0).sum(axis=1, keepdims=True) * x,
    lambda x: nn.softmax(x, axis=0).sum(axis=0) * x,
    lambda x: x[:, ::-1],
    lambda x: (x.T * 2).T,
    lambda x: (x - np.arange(D)).std(axis=1, keepdims=True) + x,
    lambda x: np.concatenate([x[:, 1:], x[:, :1]], axis=1),
    lambda x: np.broadcast_to(x[:, :1], x.shape) * x,
    lambda x: x.reshape(-1).reshape(x.shape) - x.sum() / len(x),
]
BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (y * y + 1),
    lambda x, y: x * nn.sigmoid(y),
    lambda x, y: np.maximum(x, y),
]
LOSSES = [
    lambda x, y: np.square(x.sum(axis=1) - y).mean(),
    lambda x, y: (x * x).sum() / len(x),
    lambda x, y: nn.squared_error(x.mean(axis=1), y).mean(),
    lambda x, y: nn.cross_entropy(x, np.arange(M) % D).sum() if len(x) == M else (x * 0).sum(),
    lambda x, y: np.log(np.exp(x).sum(axis=1)).mean(),
    lambda x, y: np.linalg.norm(np.tanh(x) - 2) + x.mean(),
]
places = st.integers(0, 1 << 20)
calls = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(UNARY + ROWS), places),
        st.tuples(st.sampled_from(BINARY), places, places),
        st.tuples(st.sampled_from(["W", "b", "s"]), places),
    ),
    min_size=1,
    max_size=7,
)
RNG = np.random.default_rng(0)
PARAMS = {"W": RNG.normal(0, 0.5, (D, D)), "b": RNG.normal(0, 0.5, D), "s": RNG.normal()}
X, Y = RNG.normal(size=(M, D)), RNG.normal(size=M)


@given(calls=calls, loss=st.sampled_from(LOSSES), inline=st.booleans())
@settings(max_examples=100, deadline=None)
def test_random_losses(calls, loss, inline):
    def losses(p, x, y):
        pool = [x, x @ p["W"]]
        for fn, *at in calls:
            operands = [pool[k % len(pool)] for k in at]
            if fn == "W":
                pool.append(operands[0] @ p["W"])
            else:
                pool.append(operands[0] + p["b"] if fn == "b" else operands[0] * p["s"] if fn == "s" else fn(*operands))
        return loss(pool[-1] + pool[1], y)

    formulas = Formulas(simplify(derive(losses, PARAMS, X, Y).program), inline)
    assert_true(formulas, gradients_of(losses, PARAMS, (X, Y)))
    assert formulas.latex()
    assert formulas.text()
