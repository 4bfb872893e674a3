"""Random programs drawn with random options: a picture comes, dot accepts it, and every parameter is in it."""

import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_programs import execute, instructions

import tinygrad_mb as tg
from tinygrad_mb.graph import ancestors

pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_mb.errors.BroadcastWarning")

HAS_DOT = shutil.which("dot") is not None
numbers = st.sampled_from([None, False, "numbers", "heat"])
options = st.fixed_dictionaries(
    {
        "view": st.sampled_from(["forward", "backward", "both"]),
        "values": numbers,
        "grads": numbers,
        "contributions": st.booleans(),
        "depth": st.sampled_from([None, 0, 1, 2]),
        "limit": st.sampled_from([1, 2, 7, 150]),
        "unfold": st.sampled_from([(), True, ["block.0"]]),
    }
)
names = st.text(max_size=6)


def accepted(source, fmt="svg"):
    done = subprocess.run(["dot", f"-T{fmt}"], input=source.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout


def check(drawing, parameters, options):
    """What is true of every picture."""
    if options["depth"] is None and options["limit"] == 150:
        for p in parameters:
            assert p in drawing.source
    if HAS_DOT:
        ElementTree.fromstring(accepted(drawing.source))


class Batch:
    """A loss of a batch: a program on each example's numbers and on a parameter, in blocks, over several steps."""

    def __init__(self, program, steps, reduction):
        self.program, self.steps, self.reduction = program, steps, reduction

    def __call__(self, params, x):
        h = x @ params["W"]
        for k in range(self.steps):
            with tg.scope(f"block.{k}"):
                h = np.tanh(h @ params["U"] + params["b"])
                for function in self.program:
                    h = function(h)
        return self.reduction(h)


STEPS = [
    np.sin,
    lambda h: h * 2.0 + 1.0,
    lambda h: h - h.mean(axis=1, keepdims=True),
    lambda h: h - h.mean(axis=0),  # examples influence each other
    lambda h: h[::-1],
    lambda h: h[:, [2, 0, 1]],
    lambda h: h.T.reshape(3, -1).T,
    lambda h: np.concatenate([h[:, :1], h[:, 1:]], axis=1),
    lambda h: np.where(h > 0, h, 0.0),
    lambda h: h.reshape(-1).reshape(h.shape),
    lambda h: h.detach() + h,
    lambda h: tg.vmap(np.tanh)(h),
]
REDUCTIONS = [
    lambda h: h.sum(axis=1).mean(),
    lambda h: h.mean(),
    lambda h: h.sum(axis=1),
    lambda h: [h.sum(), h.max(axis=1).mean(), h],
    lambda h: tg.nn.cross_entropy(h, np.zeros(len(h), int)).sum() + np.square(h).mean(),
]


@settings(max_examples=60, deadline=None)
@given(
    program=st.lists(st.sampled_from(STEPS), max_size=4),
    steps=st.integers(0, 4),
    reduction=st.sampled_from(REDUCTIONS),
    m=st.integers(0, 5),
    options=options,
)
def test_functions_of_a_batch(program, steps, reduction, m, options):
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(2, 3)), "U": rng.normal(size=(3, 3)), "b": np.zeros(3)}
    if m == 0:  # what is no number has no maximum
        reduction = REDUCTIONS[2]
    if not steps:
        options["unfold"] = ()
    loss = Batch(program, steps, reduction)
    with np.errstate(all="ignore"):
        drawing = tg.draw(loss, params, rng.normal(size=(m, 2)), **options)
    used = ["W", *(["U", "b"] if steps else [])]
    check(drawing, [f"<B>{name}</B>" for name in used if options["view"] == "forward"], options)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    shape=st.sampled_from([(), (1,), (3,), (2, 3), (3, 1), (2, 1, 3)]),
    program=instructions,
    name=names,
    options=options,
    when=st.sampled_from(["before", "after", "kept"]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_tensors(data, shape, program, name, options, when, dtype):
    size = int(np.prod(shape))
    array = np.array(data.draw(st.lists(st.integers(-16, 16), min_size=size, max_size=size)), dtype).reshape(shape) / 8
    x = tg.Tensor(array.astype(dtype), requires_grad=True, name=name)
    with tg.scope("block.0"):
        y = execute(program, x) + 0.0
    if when != "before":
        y.backward(retain_graph=when == "kept")
    before = [(node, node.name, node.saved, node.grad, node.held) for node in ancestors(y.node)]
    gradient = None if x.grad is None else x.grad.copy()
    check(tg.draw(y, **options), [], options)
    for old, node in zip(before, ancestors(y.node), strict=True):
        now = (node, node.name, node.saved, node.grad, node.held)
        assert all(a is b for a, b in zip(old, now, strict=True))
    np.testing.assert_array_equal(x.grad, gradient)
    assert tg.draw(y, **options).source == tg.draw(y, **options).source
