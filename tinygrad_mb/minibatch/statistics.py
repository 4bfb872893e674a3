"""What the gradients of a batch's examples tell: lengths, angles, spread, and sums with weights."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arraylike import Array
from ..autodiff import as_array
from ..carriers.factors import Factors
from ..pytrees import Nest


class Estimate(float):
    """A number estimated from one batch: nan, with the ``reason``, where the batch cannot tell.

    >>> import numpy as np, tinygrad_mb as tg
    >>> w = tg.Tensor(0.0, requires_grad=True)
    >>> grads = tg.minibatch.example_gradients(np.array([1.0, -1.0, 2.0]) * w, w)
    >>> grads.noise_scale().reason
    'the estimate of |G|² is -0.3333: this batch is too small to tell the gradient from noise'
    """

    reason: str | None  # why the value is nan; None where it is a number

    def __new__(cls, value: float, reason: str | None = None) -> Estimate:  # noqa: D102 - the class says it
        estimate = super().__new__(cls, math.nan if reason else value)
        estimate.reason = reason
        return estimate

    def __repr__(self) -> str:
        return float.__repr__(self) if self.reason is None else f"nan ({self.reason})"

    def __reduce__(self) -> Any:
        return Estimate, (float(self), self.reason)


class Stacked:
    """The gradients of all examples for one parameter, as they are: (m, *shape)."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The gradients' dtype."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    @property
    def _flat(self) -> Any:
        return self.array.reshape(len(self.array), math.prod(self.shape))

    def rows(self, which: Any) -> Any:
        """The gradients of some examples, in arrays of their own."""
        return self.array[which].copy()

    def weighted_sum(self, weights: Any) -> Any:
        """The sum over examples of a weight (m,) times the gradient."""
        return (weights @ self._flat).reshape(self.shape)

    def sum_of_squares(self) -> Any:
        """The sum over examples of the squared elements."""
        return np.einsum("mp,mp->p", self._flat, self._flat).reshape(self.shape)

    def centred(self) -> Stacked:
        """The gradients less their mean."""
        return Stacked(self.array - self.array.mean(axis=0))

    def squared_norms(self) -> Any:
        """The sum of squares of each example's gradient (m,)."""
        return np.vecdot(self._flat, self._flat)

    def inner(self, other: Stacked) -> Any:
        """The inner products of these gradients with others (m, m')."""
        return self._flat @ other._flat.T

    def dot(self, direction: Any) -> Any:
        """The inner products with one array of the parameter's shape (m,)."""
        return self._flat @ direction.reshape(-1)


Part = Stacked | Factors

_ROUNDING = 1e-12  # how far off, relative to it, |ḡ|² - tr Σ / m may be by rounding


class ExampleGradients:
    """The gradients of each example of a batch, mostly as factors that take much less room than they themselves.

    Made by ``example_gradients`` in one backward.  gᵢ is the gradient of the i-th example's own loss, not divided by
    the number of examples m; ḡ is their mean.  Where a parameter meets its examples in a product (``x @ W``, a
    convolution, an embedding, at one place or at many), gᵢ is kept as the two arrays that it is the product of, and
    lengths, inner products and sums are computed from these (``tinygrad_mb/carriers/factors.py`` has the formulas);
    only what asks for single elements' gradients makes an array of m gradients.

    ``len`` is m.  ``grads["W1"]`` are those of one parameter, by
    its path in the nest, with all the same methods.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(w, x, y):
    ...     return 0.5 * np.square(x @ w - y)
    >>> X, y = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, -1.0], [2.0, 0.0]]), np.array([-1.0, 1.0, 0.0, 3.0])
    >>> grads = tg.minibatch.example_gradients(loss, np.array([1.0, -2.0]), X, y)
    >>> grads.norms().round(4)
    array([4.4721, 0.    , 2.    , 2.    ])
    >>> grads.mean(), grads.grads(0)
    (array([-1. , -1.5]), array([-2., -4.]))
    """

    __slots__ = ("_examples", "_nest", "_parts")

    def __init__(self, parts: list[Part], nest: Nest, examples: int) -> None:
        self._parts = parts
        self._nest = nest
        self._examples = examples

    def __len__(self) -> int:
        return self._examples

    def __repr__(self) -> str:
        names = ", ".join(
            f"{path or 'array'} {part.shape}" for path, part in zip(self._nest.paths, self._parts, strict=True)
        )
        return f"<gradients of {len(self)} examples: {names}>"

    def __getitem__(self, path: str) -> ExampleGradients:
        if not isinstance(path, str):
            raise TypeError(
                f"[{path!r}]: in brackets goes the path of a parameter, such as [{self._nest.paths[0]!r}]; for the "
                "gradients of some examples there is .grads(which)"
            )
        if path not in self._nest.paths:
            paths = ", ".join(map(repr, self._nest.paths))
            raise KeyError(
                f"there is no parameter {path!r}; there {f'are {paths}' if paths != repr('') else 'is but one'}"
            )
        return ExampleGradients([self._parts[self._nest.paths.index(path)]], Nest(0.0), len(self))

    # ------------------------------------------------------------------------- gradients themselves

    def materialize(self) -> Any:
        """All gradients, each parameter's as an array ``(m, *shape)``: m times the room of the parameters."""
        return self.grads(slice(None))

    def grads(self, which: Any) -> Any:
        """The gradient of one example, by its index, or of several, by a slice or a sequence of indices or booleans.

        Raises ``IndexError`` for an example that there is not.
        """
        if not isinstance(which, slice):
            which = np.asarray(which) if np.size(which) else np.zeros(0, int)
            if which.ndim == 0:
                index = operator.index(which.item())
                if not -len(self) <= index < len(self):
                    raise IndexError(f"there is no example {index}: there are {len(self)}")
                which = slice(index, index + 1 or None)
                return self._fill(lambda part: part.rows(which)[0])
        return self._fill(lambda part: part.rows(which))

    # --------------------------------------------------------------------------------- sums of them

    def weighted_sum(self, weights: Any) -> Any:
        """The sum over examples of a weight times the gradient, with ``weights`` (m,).

        Raises ``ValueError`` for weights of another shape.
        """
        weights = as_array(weights)
        if weights.shape != (len(self),):
            raise ValueError(
                f"weighted_sum: weights {weights.shape} for {len(self)} examples must have shape ({len(self)},)"
            )
        return self._fill(lambda part: part.weighted_sum(weights.astype(part.dtype)))

    def sum(self) -> Any:
        """The sum of all gradients: the gradient of the summed loss."""
        return self.weighted_sum(np.ones(len(self)))

    def mean(self) -> Any:
        """The mean ḡ of all gradients: the gradient of the mean loss.

        Raises ``ValueError`` if there are no examples.
        """
        if not len(self):
            raise ValueError("mean: there are no examples, and of none there is no mean")
        return self.weighted_sum(np.full(len(self), 1 / len(self)))

    def clipped_sum(self, bound: float) -> Any:
        """The sum of all gradients, each first shortened to the length ``bound`` if it is longer.

        The source is M. Abadi et al., "Deep learning with differential privacy", 2016 (arXiv 1607.00133), algorithm 1,
        which adds noise to this sum.  The length is that over all parameters together.

        Raises ``ValueError`` for a bound that is not positive, ``FloatingPointError`` if a gradient is not finite.
        """
        if np.ndim(bound) or not bound > 0:
            raise ValueError(f"clipped_sum: the bound must be positive, not {bound}")
        norms = self.norms()
        if isinstance(norms, np.ndarray) and (problem := _not_finite(norms)):
            raise FloatingPointError(f"clipped_sum: {problem}")
        return self.weighted_sum(bound / np.maximum(norms, bound) if math.isfinite(bound) else np.ones(len(self)))

    # ------------------------------------------------------------------------- lengths and angles

    def squared_norms(self) -> Array:
        """``|gᵢ|²`` for each example (m,), over all parameters together."""
        return self._total(lambda part: part.squared_norms(), (len(self),))

    def norms(self) -> Array:
        """``|gᵢ|`` for each example (m,), over all parameters together."""
        return np.sqrt(self.squared_norms())

    def gram(self) -> Array:
        """The inner products gᵢ · gⱼ of all examples with all examples (m, m)."""
        return self.inner(self)

    def inner(self, others: ExampleGradients) -> Array:
        """The inner products of these gradients with those of another batch, for the same parameters (m, m')."""
        if not isinstance(others, ExampleGradients) or others._shapes != self._shapes:
            raise ValueError(f"inner: {self!r} and {others!r:.80} are not of the same parameters")
        pairs = zip(self._parts, others._parts, strict=True)
        total: Array = np.zeros((len(self), len(others)))
        for a, b in pairs:
            total = total + _inner(a, b)
        return total

    def cosine(self) -> Array:
        """The cosines of the angles between all gradients (m, m); nan for a gradient of length 0."""
        gram = self.gram()
        norms = np.sqrt(np.maximum(np.diagonal(gram), 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine: Array = np.clip(gram / norms / norms[:, None], -1, 1)
        return cosine

    def dot(self, direction: Any) -> Array:
        """gᵢ · v for each example (m,): its loss's slope along a direction v, a nest like the parameters."""
        leaves = [np.asarray(v) for v in self._nest.match(direction, "the direction")]
        for part, v, path in zip(self._parts, leaves, self._nest.paths, strict=True):
            if v.shape != part.shape:
                raise ValueError(
                    f"dot: the direction {path or 'v'} has shape {v.shape}, and the parameter {part.shape}"
                )
        values = iter(leaves)
        return self._total(lambda part: part.dot(next(values)), (len(self),))

    # -------------------------------------------------------------------------------------- spread

    def variance(self) -> Any:
        """The variance over examples of each element of the gradient, divided by m - 1, never below 0.

        Raises ``ValueError`` for fewer than two examples.
        """
        m = self._several("variance")

        def of_one(part: Part) -> Any:
            off = _wide(part).centred()
            mean = off.weighted_sum(np.full(m, 1 / m))
            return np.maximum(off.sum_of_squares() - m * mean * mean, 0) / (m - 1)

        return self._fill(of_one)

    def total_variance(self) -> float:
        """The trace of the gradients' covariance matrix, ``(Σ|gᵢ|² - m|ḡ|²) / (m - 1)``.

        Raises ``ValueError`` for fewer than two examples.
        """
        m = self._several("total_variance")
        total = 0.0
        for part in self._parts:
            off = _wide(part).centred()
            mean = off.weighted_sum(np.full(m, 1 / m))
            total += max(float(off.squared_norms().sum()) - m * float(np.vdot(mean, mean)), 0.0)
        return total / (m - 1)

    def noise_scale(self, debiased: bool = True) -> Estimate:
        """The simple noise scale ``tr Σ / |G|²``: about the batch size up to which more examples pay.

        G is the true gradient and Σ the covariance of single examples' gradients (S. McCandlish et al., "An empirical
        model of large-batch training", 2018, arXiv 1812.06162, equation 2.9).  ``|ḡ|²`` overestimates ``|G|²`` by
        tr Σ / m, which is subtracted unless ``debiased`` is False; where nothing is left the result is nan, with the
        ``reason``.
        NB: the mean of such ratios over steps is biased; average tr Σ and ``|G|²`` (``total_variance``,
        ``squared_signal``), and divide once.

        Raises ``ValueError`` for fewer than two examples.
        """
        mean, spread = self._squared_mean(), self.total_variance()
        return self._ratio(spread, self._signal(mean, spread) if debiased else mean)

    def squared_signal(self) -> Estimate:
        """The estimate ``|ḡ|² - tr Σ / m`` of the true gradient's ``|G|²``, which may come out negative.

        Raises ``ValueError`` for fewer than two examples.
        """
        return Estimate(self._signal(self._squared_mean(), self.total_variance()))

    def snr(self) -> Estimate:
        """The signal-to-noise ratio of the batch's mean gradient: ``|G|² / (tr Σ / m)``, as in ``noise_scale``.

        Raises ``ValueError`` for fewer than two examples.
        """
        mean, spread = self._squared_mean(), self.total_variance()
        noise = self._ratio(spread, self._signal(mean, spread))
        if noise.reason:
            return noise
        return Estimate(len(self) / float(noise) if noise > 0 else math.inf)

    # ------------------------------------------------------------------------ is the batch large enough

    def norm_test(self) -> Estimate:
        """How far off ḡ is to be expected, relative to its length: the root of ``tr Σ / (m |ḡ|²)``.

        Above a limit of one's own below 1, such as 0.9, the batch is too small (R. Byrd et al., "Sample size selection
        in optimization methods for machine learning", 2012, equation 3.9).

        Raises ``ValueError`` for fewer than two examples.
        """
        return _root(self._ratio(self.total_variance() / len(self), self._squared_mean()))

    def inner_product_test(self) -> Estimate:
        """The same of the one component that matters, along ḡ: the root of ``Var(gᵢ · ḡ) / (m |ḡ|⁴)``.

        The source is R. Bollapragada et al., "Adaptive sampling strategies for stochastic optimization", 2017
        (arXiv 1710.11258), equation 2.6.

        Raises ``ValueError`` for fewer than two examples.
        """
        m = self._several("inner_product_test")
        mean = self._squared_mean()
        along = self.dot(self.mean()) / (mean or 1.0)
        return _root(self._ratio(float(along.var(ddof=1)) / m, math.copysign(1.0, mean) if mean else mean))

    def suggested_size(self, limit: float = 0.9) -> Estimate:
        """The batch size at which the norm test would come out at ``limit``: ``tr Σ / (limit² |ḡ|²)``.

        Raises ``ValueError`` for fewer than two examples, and for a limit that is not positive.
        """
        if not limit > 0:
            raise ValueError(f"suggested_size: the limit must be positive, not {limit}")
        size = self._ratio(self.total_variance(), limit**2 * self._squared_mean())
        return size if size.reason or math.isinf(size) else Estimate(max(1.0, math.ceil(size)))

    # ------------------------------------------------------------------------------------- helpers

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [part.shape for part in self._parts]

    def _fill(self, fn: Callable[[Part], Any]) -> Any:
        return self._nest.fill([fn(part) for part in self._parts])

    def _total(self, fn: Callable[[Part], Any], shape: tuple[int, ...]) -> Array:
        total = np.zeros(shape)
        for part in self._parts:
            total = total + fn(part)  # not in place: inside vmap the parts hide an axis
        return total

    def _squared_mean(self) -> float:
        """|ḡ|²."""
        weights = np.full(len(self), 1 / len(self))
        means = [_wide(part).weighted_sum(weights) for part in self._parts]
        return sum([float(np.vdot(mean, mean)) for mean in means])

    def _signal(self, mean: float, spread: float) -> float:
        """|ḡ|² - tr Σ / m, exactly 0 where nothing but rounding is left of it."""
        signal = mean - spread / len(self)
        return 0.0 if abs(signal) <= _ROUNDING * mean else signal

    def _ratio(self, spread: float, signal: float) -> Estimate:
        if not math.isfinite(spread + signal):
            return Estimate(math.nan, _not_finite(self.norms()) or "the gradients' squares overflow")
        if signal > 0:
            return Estimate(spread / signal)
        if signal == 0 == spread:
            return Estimate(math.nan, "all gradients are 0")
        why = f"the estimate of |G|² is {signal:.4g}: this batch is too small to tell the gradient from noise"
        return Estimate(math.nan, why)

    def _several(self, what: str) -> int:
        if len(self) < 2:
            raise ValueError(f"{what}: a spread wants two examples or more, and there is {len(self)}")
        return len(self)


def _wide(part: Part) -> Part:
    """The same in float64, for differences of large numbers."""
    if isinstance(part, Stacked):
        return Stacked(part.array.astype(float, copy=False))
    terms = [(a if a.ndim == 2 else a.astype(float, copy=False), d.astype(float, copy=False)) for a, d in part.terms]
    return Factors(terms, part.shape, part._level)


def _inner(a: Part, b: Part) -> Any:
    if isinstance(a, Factors) and isinstance(b, Factors):
        return a.inner(b)
    first, second = (x if isinstance(x, Stacked) else Stacked(x.rows(slice(None))) for x in (a, b))
    return first.inner(second)


def _not_finite(norms: Array) -> str:
    bad = np.flatnonzero(~np.isfinite(norms))
    return f"the gradient of example {bad[0]} is not finite" if bad.size else ""


def _root(ratio: Estimate) -> Estimate:
    return ratio if ratio.reason else Estimate(math.sqrt(ratio))
