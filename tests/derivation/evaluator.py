"""Expressions computed in NumPy, as slowly and plainly as they read: what a page says must be what was computed."""

from __future__ import annotations

import operator

import numpy as np

from tinygrad_mb.derivation.latex import Latex
from tinygrad_mb.derivation.program import Variable, replaced
from tinygrad_mb.derivation.unicode import Unicode
from tinygrad_mb.vjps import convolution, special


class Recorder:
    """Goes before a printer: keeps each part with its text, and the sum or product that it is an operand in."""

    def __init__(self, *names):
        super().__init__(*names)
        self.found = []
        self.whole_of = None

    def among(self, joint, says_axes=False):
        self.whole_of = object() if joint is not None else None
        return super().among(joint, says_axes)

    def part(self, x):
        before = self.whole_of
        text, rank = super().part(x)
        self.whole_of = before
        self.found.append((text, x, before, self.joint if before else None))
        return text, rank


class RecordedText(Recorder, Unicode):
    """Text for a terminal, recorded."""


class RecordedLatex(Recorder, Latex):
    """LaTeX, recorded."""


def assert_told_apart(formulas, values):
    """What has one text, or one LaTeX, in a formula is one value; in a sum or product, also after broadcasting."""
    for left, forms, each, _ in formulas.lines:
        for kind, form in [(kind, form) for kind in (RecordedText, RecordedLatex) for form in forms]:
            printer = kind(*formulas.symbols(kind))
            with printer.each(each):
                page = printer.write(form)
            seen = {}
            for text, x, whole, joint in printer.found:
                value = evaluate(x, values)
                keys = [(text, None, np.squeeze(value))]
                if whole is not None:
                    keys.append((text, whole, np.broadcast_to(value, joint)))
                for *key, numbers in keys:
                    known = seen.setdefault(tuple(key), numbers)
                    assert is_same(known, numbers), f"{text} has two meanings in {left.name} = {page}"


def is_same(a, b):
    """Whether arrays are equal up to rounding, or the same single number everywhere."""
    if a.shape != b.shape:
        return a.size == 0 or b.size == 0 or ((a == b.flat[0]).all() and (b == a.flat[0]).all())
    shown = np.isfinite(a) & np.isfinite(b)
    return np.allclose(a[shown], b[shown], rtol=1e-9, atol=1e-12)


COMPARE = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
APPLY = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.log(1 + np.exp(x)),
    "relu": lambda x: np.where(x > 0, x, 0), "max": np.maximum, "min": np.minimum, "erf": special.erf,
    "normal_cdf": special.normal_cdf,
}  # fmt: skip


def evaluate(expr, values):
    """The value of an expression, where ``values`` has those of the variables, by their numbers."""
    args = [evaluate(arg, values) for arg in expr.args]
    found = np.asarray(globals()[f"_{expr.op}"](expr, values, *args))
    assert found.shape == expr.shape, (expr, found.shape)
    return found


def _variable(x, values):
    return values[x.data]


def _number(x, values):
    return float(x.data)


def _size(x, values):
    return x.data[1]


def _constant(x, values):
    return x.payload


def _broadcast(x, values, a):
    return np.broadcast_to(a, x.shape)


def _add(x, values, *terms):
    return sum(terms[1:], terms[0])


def _multiply(x, values, *factors):
    out = np.asarray(float(x.data))
    for factor in factors:
        out = out * factor
    return out


def _power(x, values, a):
    return a ** float(x.data)


def _apply(x, values, *args):
    if x.data == "power":
        return args[0] ** args[1]
    return (APPLY.get(x.data) or getattr(np, x.data))(*args)


def _compare(x, values, a, b):
    return COMPARE[x.data](a, b).astype(float)


def _not(x, values, a):
    return 1 - a


def _where(x, values, condition, a, b):
    return np.where(condition, a, b)


def _matmul(x, values, a, b):
    return a @ b


def _outer(x, values, a, b):
    return a[:, None] * b


def _transpose(x, values, a):
    return a.transpose(x.data)


def _reshape(x, values, a):
    return a.reshape(x.shape)


def _sum(x, values, a):
    return a.sum(axis=x.data[0], keepdims=x.data[1])


def _max(x, values, a):
    return a.max(axis=x.data[0], keepdims=x.data[1])


def _min(x, values, a):
    return a.min(axis=x.data[0], keepdims=x.data[1])


def _logsumexp(x, values, a):
    return np.log(np.exp(a).sum(axis=x.data[0], keepdims=x.data[1]))


def _softmax(x, values, a):
    return np.exp(a) / np.exp(a).sum(axis=x.data, keepdims=True)


def _examples(x, values, *pairs):
    total = np.zeros(x.shape)
    for a, b in zip(pairs[::2], pairs[1::2], strict=True):
        lead = a.ndim - 1 if a.ndim == b.ndim else 1
        for at in np.ndindex(a.shape[:lead]):
            total = total + np.multiply.outer(a[at], b[at])
    return total


def _pick(x, values, a, labels):
    return np.take_along_axis(a, labels[..., None], -1)[..., 0]


def _onehot(x, values, labels):
    return (labels[..., None] == np.arange(x.shape[-1])).astype(float)


def _gather(x, values, a, rows):
    return a[rows.astype(np.intp)]


def _scatter(x, values, a, rows):
    out = np.zeros(x.shape)
    np.add.at(out, rows.astype(np.intp), a)
    return out


def _whole_index(x, arrays):
    arrays = iter([a.astype(np.intp) for a in arrays])
    return tuple(next(arrays) if kind == "·" else part for kind, part in zip(x.data, x.payload, strict=True))


def _index(x, values, a, *arrays):
    return a[_whole_index(x, arrays)]


def _place(x, values, a, *arrays):
    out = np.zeros(x.shape)
    np.add.at(out, _whole_index(x, arrays), a)
    return out


def _patches(x, values, a):
    return convolution.patches(a, *x.data)


def _unpatch(x, values, a):
    return convolution.unpatch(a, *x.data)


def _convolution(x, values, a, w):
    return convolution.conv2d(a, w, *x.data)


def _deconvolution(x, values, g, w):
    return convolution._conv2d_vjp_x(g, w, *x.data)


def _kernels(x, values, a, g):
    stride, padding, shape = x.data
    return convolution._conv2d_vjp_W(g, a, shape, stride, padding)


def _pool(x, values, a):
    return convolution.max_pool2d(a, *x.data)


def _unpool(x, values, g, a):
    return convolution._max_pool2d_vjp(g, a, convolution.max_pool2d(a, *x.data), *x.data)


def _contraction(x, values, a, b):
    return np.tensordot(a, b, x.data)


def _call(x, values, *args):
    call, at = x.payload, iter(args)
    nest = replaced((call.args, call.kwargs), lambda v: next(at))
    assert not any(isinstance(part, Variable) for part in nest)
    return call.function(*nest[0], **nest[1])
