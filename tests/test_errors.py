"""Bad input: an error of the right class that names the operation and its operands, what was expected, what to do."""

import re

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.errors import BroadcastWarning, GraphFreedError, NotDifferentiableError, ShapeError


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


X = parameter(np.zeros((5, 3)), "x")
W = parameter(np.zeros((5, 7)), "W")
B = parameter(np.zeros((3, 1)), "b")
V = parameter(np.zeros(4, np.float32), "v")


def freed():
    loss = (parameter([1.0, 2.0], "w") ** 2).sum().named("loss")
    loss.backward()
    return loss


def too_late():
    c = tg.Tensor([1.0, 2.0], name="c")
    loss = (parameter([1.0, 1.0]) * c).sum()
    c.requires_grad = True
    return loss.gradient(c)


def assign(t, value=0.0):
    t[0] = value


# (a call, the class of its error, what the message says)
CASES = {
    # shapes that do not fit
    "add": (lambda: X + V, ShapeError, ["add", "x (5, 3) float64", "v (4,) float32", "matched from the right"]),
    "matmul": (lambda: X @ W, ShapeError, ["matmul", "x (5, 3)", "W (5, 7)", "x.shape[-1] == W.shape[-2]", "x.T @ W"]),
    "a transpose": (lambda: np.ones((2, 5)) @ W.T, ShapeError, ["left (2, 5) float64, W.T (7, 5)", "`left @ W`?"]),
    "matmul of a scalar": (lambda: X @ 3.0, ShapeError, ["matmul", "x (5, 3)", "use *"]),
    "bias as a column": (lambda: X + B, ShapeError, ["add", "b (3, 1)", "b.reshape(3)"]),
    "targets as a row": (
        lambda: X * parameter(np.zeros(5), "y"),
        ShapeError,
        ["multiply", "y (5,)", "y.reshape(5, 1)"],
    ),
    "raw operand": (lambda: X - np.zeros((2, 3)), ShapeError, ["subtract", "x (5, 3)", "(2, 3) float64"]),
    "reshape": (lambda: X.reshape(4, 4), ShapeError, ["reshape", "x (5, 3)", "(4, 4)"]),
    "concatenate": (lambda: np.concatenate([X, W]), ShapeError, ["concatenate", "x (5, 3)", "W (5, 7)"]),
    "stack": (lambda: np.stack([X, W]), ShapeError, ["stack", "x (5, 3)", "W (5, 7)"]),
    "einsum": (lambda: np.einsum("ij,jk->ik", X, W), ShapeError, ["einsum", "x (5, 3)", "W (5, 7)"]),
    "sum over a missing axis": (lambda: X.sum(axis=2), IndexError, ["sum", "x (5, 3)", "axis 2"]),
    "index out of range": (lambda: X[9], IndexError, ["x (5, 3)", "9", "out of bounds"]),
    "set": (lambda: X.at[0].set([1.0, 2.0]), ShapeError, ["put", "x (5, 3)", "(2,)"]),
    "add at": (lambda: X.at[0].add([1.0, 2.0]), ValueError, ["(2,)", "(3,)"]),
    # dtypes
    "integer": (
        lambda: tg.Tensor([1, 2], requires_grad=True, name="n"),
        NotDifferentiableError,
        ["(2,) int64", "real floating-point", "dtype=float", "1.0 for 1"],
    ),
    "bool": (lambda: parameter([True]), NotDifferentiableError, ["(1,) bool", "real floating-point"]),
    "complex": (lambda: parameter([1j]), NotDifferentiableError, ["(1,) complex128", "real floating-point"]),
    "complex result": (
        lambda: X * np.array(1j),
        NotDifferentiableError,
        ["multiply", "complex128", "x (5, 3) float64", "real floating-point"],
    ),
    "integer result": (lambda: X.astype(int), NotDifferentiableError, ["astype", "int64", "x (5, 3)"]),
    "object operand": (lambda: X * np.array([None] * 3), (TypeError, NotDifferentiableError), ["multiply", "x (5, 3)"]),
    "masked": (lambda: X * np.ma.ones((5, 3)), NotDifferentiableError, ["mask", "np.where"]),
    "masked first": (lambda: np.ma.ones((5, 3)) * X, NotDifferentiableError, ["mask", "np.where"]),
    # backward
    "vector": (
        lambda: (X * 2).named("losses").backward(),
        ShapeError,
        ["backward", "losses (5, 3) float64", "one number", ".sum()", ".mean()", "gradient="],
    ),
    "vector, gradient": (lambda: (X * 2).gradient(X), ShapeError, ["gradient", "(5, 3)", ".sum()", "gradient="]),
    "seed": (
        lambda: (X * 2).named("h").backward(gradient=np.ones(3)),
        ShapeError,
        ["gradient=", "(3,)", "h (5, 3) float64", "equal"],
    ),
    "seed of text": (lambda: X.backward(gradient=[["a"] * 3] * 5), NotDifferentiableError, ["<U1", "numbers"]),
    "freed": (lambda: freed().backward(), GraphFreedError, ["already", "Compute the loss anew", "retain_graph=True"]),
    "complex seed": (lambda: (X * 1).backward(gradient=np.ones((5, 3)) * 1j), NotDifferentiableError, ["complex"]),
    "switched too late": (
        too_late,
        TypeError,
        ["'c' (2,) float64", "the result of multiply (2,) float64", "requires_grad=True first", "anew"],
    ),
    "no gradient": (
        lambda: tg.Tensor(1.0, name="c").backward(),
        TypeError,
        ["backward", "c () float64", "requires_grad=True", "no_grad()"],
    ),
    # control flow and coercion
    "branch": (
        lambda: bool(X * 2),
        ValueError,
        ["truth value", "(5, 3) float64", "np.where", ".any()"],
    ),
    "branch on a name": (lambda: bool(V), ValueError, ["v (4,) float32", "ambiguous"]),
    "assignment": (lambda: assign(X), TypeError, ["x (5, 3) float64", "t.at[index].set(value)", ".add(v", "t.data"]),
    "assignment into an array": (lambda: assign(np.zeros((2, 3)), X[0]), TypeError, ["(3,) float64", ".numpy()"]),
    "in-place operator of an array": (
        lambda: np.zeros((5, 3)).__iadd__(X),
        NotDifferentiableError,
        ["np.add", "in place", "lose their derivatives", "a = a + t"],
    ),
    "out": (lambda: np.exp(X, out=np.zeros((5, 3))), NotDifferentiableError, ["exp", "out", "use the result"]),
    "coercion": (lambda: np.asarray(X), TypeError, ["x (5, 3) float64", "lose it", ".numpy()"]),
    "array of tensors": (lambda: np.array([X, X]), TypeError, ["x (5, 3) float64", "np.stack"]),
    "tensor of a tensor": (lambda: tg.Tensor(X), TypeError, ["x (5, 3) float64", "cut the graph", ".detach()"]),
    "tensor of tensors": (lambda: tg.Tensor([X, X]), TypeError, ["x (5, 3) float64", "np.stack"]),
    "nothing returned": (lambda: tg.grad(lambda x: None)(1.0), TypeError, ["<lambda>", "`return`"]),
    # NumPy's functions
    "method that is a function": (lambda: parameter(np.eye(2)).trace(), AttributeError, ["np.trace(x) for x.trace"]),
    "no method": (lambda: X.unsqueeze(0), AttributeError, ["'Tensor' object has no attribute 'unsqueeze'"]),
    "dtype": (lambda: np.sum(X, dtype=np.float32), NotDifferentiableError, ["sum", "dtype", ".astype"]),
    "unknown function": (lambda: np.unwrap(X), NotDifferentiableError, ["np.unwrap", "does not work on Tensors"]),
    "ufunc.at": (lambda: np.add.at(X, [0], 1.0), NotDifferentiableError, ["np.add.at", ".at[index].add"]),
    "reduceat": (lambda: np.add.reduceat(X, [0]), NotDifferentiableError, ["np.add.reduceat", "does not work"]),
    "frompyfunc": (lambda: np.frompyfunc(abs, 1, 1)(X), NotDifferentiableError, ["abs", "does not work on Tensors"]),
    # losses
    "squared_error": (
        lambda: nn.squared_error(parameter(np.zeros((5, 1)), "pred"), np.zeros(5)),
        ShapeError,
        ["squared_error", "pred (5, 1) float64", "(5,) float64", "reshape"],
    ),
    "binary_cross_entropy": (
        lambda: nn.binary_cross_entropy(parameter(np.zeros((5, 1)), "z"), np.zeros(5)),
        ShapeError,
        ["binary_cross_entropy", "z (5, 1) float64", "(5,) float64", "reshape"],
    ),
    "label too large": (
        lambda: nn.cross_entropy(X, np.array([0, 1, 2, 3, 0])),
        ValueError,
        ["cross_entropy", "integers from 0 to 2", "labels[3] = 3"],
    ),
    "label negative": (
        lambda: nn.cross_entropy(X, np.array([0, 1, -1, 2, 0])),
        ValueError,
        ["cross_entropy", "integers from 0 to 2", "labels[2] = -1"],
    ),
    "labels with NaN": (
        lambda: nn.cross_entropy(X, np.array([0, np.nan, 1, 2, 0])),
        TypeError,
        ["cross_entropy", "labels", "float64"],
    ),
    "labels as a column": (
        lambda: nn.cross_entropy(X, np.zeros((5, 1), int)),
        ShapeError,
        ["cross_entropy", "x (5, 3)", "(5, 1) int64", "[..., 0]"],
    ),
    "one-hot labels": (lambda: nn.cross_entropy(X, np.zeros((5, 3))), ShapeError, ["argmax(-1)"]),
    "target out of range": (
        lambda: nn.binary_cross_entropy(V, np.array([0, 1, 2, 0])),
        ValueError,
        ["from 0 to 1", "2"],
    ),
    "target NaN": (lambda: nn.binary_cross_entropy(V, np.array([0, 1, np.nan, 0])), ValueError, ["from 0 to 1", "nan"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    call, kind, parts = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), f"{part!r} is missing in\n{caught.value}"


def test_shapes_that_fit_are_not_talked_about():
    with pytest.raises(ValueError, match="Integers to negative") as caught:
        tg.Tensor([1, 2]) ** -1
    assert "matched" not in str(caught.value)


def test_numpy_exceptions_keep_their_class():
    for kind, call in (
        (ValueError, lambda: X + V),
        (np.exceptions.AxisError, lambda: X.sum(axis=5)),
        (IndexError, lambda: X[7, 7]),
        (TypeError, lambda: np.bitwise_and(X, X)),
        (TypeError, lambda: X.transpose("a")),
    ):
        with pytest.raises(kind):
            call()


def test_an_exception_of_a_custom_primitive_keeps_its_class_and_cause():
    class MyError(Exception):
        def __init__(self, code, text):
            super().__init__(code, text)

    @tg.primitive
    def picky(x):
        raise MyError(3, "no")

    with pytest.raises(Exception, match=r"picky: .*no[\s\S]*x \(5, 3\) float64") as caught:
        picky(X)
    assert isinstance(caught.value.__cause__, MyError)


# ----------------------------------------------------------------------------------------- custom primitives


def test_a_rule_of_the_wrong_shape_or_kind():
    @tg.primitive
    def twice(x, y):
        return x + y

    for rule, got in ((lambda g: np.zeros(7), "(7,) float64"), (lambda g: 3.0, "3.0"), (lambda g: None, "None")):
        tg.defvjp(twice, x=rule)
        with pytest.raises(ShapeError) as caught:
            twice(X, 1.0).sum().backward()
        for part in ("rule of twice for 'x'", got, "(5, 3)"):
            assert part in str(caught.value)


def test_a_rule_that_asks_for_what_there_is_not():
    @tg.primitive
    def twice(x, scale=2.0):
        return scale * x

    with pytest.raises(TypeError, match=r"twice: the rule for 'x' asks for 'y'; it may ask for g, out, x, scale"):
        tg.defvjp(twice, x=lambda g, y: g)
    with pytest.raises(TypeError, match="take the cotangent first"):
        tg.defvjp(twice, x=lambda x: x)
    with pytest.raises(TypeError, match="twice has no array argument 'scale'; it has x"):
        tg.defvjp(twice, scale=lambda g: g)
    with pytest.raises(TypeError, match="not a primitive"):
        tg.defvjp(lambda x: x, x=lambda g: g)


def test_an_option_cannot_be_a_tensor():
    @tg.primitive
    def scaled(x, scale=2.0):
        return scale * x

    with pytest.raises(TypeError, match=r"scaled: the option scale is a Tensor.*without a default.*scale\.numpy\(\)"):
        scaled(X, scale=parameter(3.0))


def test_a_primitive_computes_with_plain_arrays():
    @tg.primitive
    def wrong(x):
        return tg.Tensor(x)

    with pytest.raises(TypeError, match="wrong returned a Tensor"):
        wrong(X)

    @tg.primitive
    def listed(x):
        return [1.0, 2.0]

    tg.defvjp(listed, x=lambda g, x_shape: np.zeros(x_shape))
    np.testing.assert_array_equal(listed(X).numpy(), [1, 2])
    np.testing.assert_array_equal(listed(X).sum().gradient(X), np.zeros((5, 3)))


# --------------------------------------------------------------------------------- (m, 1) against (m,)


COLUMN, VECTOR = np.zeros((5, 1)), np.zeros(5)
PREDICTION, TARGET = parameter(COLUMN, "pred"), tg.Tensor(VECTOR, name="target")


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (
            lambda: PREDICTION - VECTOR,
            ["pred (5, 1) float64", "right (5,) float64", "right.reshape(5, 1)", "right[None, :]"],
        ),
        (lambda: VECTOR - PREDICTION, ["pred (5, 1) float64", "left (5,) float64", "left.reshape(5, 1)"]),
        (lambda: np.subtract(PREDICTION, VECTOR), ["pred (5, 1)", "pred.reshape(5)"]),
        (lambda: PREDICTION - TARGET, ["target (5,) float64", "target.reshape(5, 1)", "target[None, :]"]),
        (lambda: (PREDICTION * 2).named("out") - list(VECTOR), ["out (5, 1) float64"]),
        (lambda: parameter(VECTOR, "p") - COLUMN, ["p (5,) float64", "p.reshape(5, 1)"]),
        (lambda: COLUMN - parameter(VECTOR, "p"), ["p (5,) float64"]),
    ],
)
def test_a_column_less_a_vector_is_warned_of(call, parts):
    with pytest.warns(BroadcastWarning) as caught:
        assert call().shape == (5, 5)
    (warning,) = caught
    assert warning.filename == __file__
    for part in ("subtract", "5 x 5", "(5, 5)", *parts):
        assert part in str(warning.message)


def test_meant_differences_are_not_warned_of():
    for difference in (
        PREDICTION - VECTOR.reshape(5, 1),
        PREDICTION - VECTOR[None, :],
        PREDICTION.reshape(5) - VECTOR,
        parameter(np.zeros((1, 1))) - np.zeros(1),
        parameter(np.zeros((5, 1))) - parameter(np.zeros(5)),
        parameter(np.zeros((5, 5))) - VECTOR,
        parameter(np.zeros((5, 1))) - np.zeros(3),
        PREDICTION - 1.0,
    ):
        difference.sum().backward()


def test_a_loss_of_ones_own_can_make_an_error_of_the_warning():
    with pytest.raises(BroadcastWarning, match=re.escape("pred.reshape(5)")):  # this suite turns warnings into errors
        np.square(PREDICTION - VECTOR).mean()
