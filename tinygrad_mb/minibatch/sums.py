"""The sum of gradients, the sum of losses and the count of a batch that comes in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..arraylike import Array
from ..autodiff import data_of
from ..errors import ChangedArrayError, describe
from ..graph import differentiable_ancestors
from ..guards import fingerprint
from ..modes import no_grad
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import value_and_grad, vjp
from .means import Part, Totals, measure


class _Entry(NamedTuple):
    """Where the gradient of one parameter lies in the vector, and what it becomes in the end."""

    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: Any

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


class Sums(Totals):
    """The sum of gradients, the sum of losses and the count of a batch that comes in parts; it divides once.

    ``params`` is what the losses depend on: a Module, or a nest of Tensors or of arrays.  ``add`` takes a part of the
    batch; then ``write_grads`` puts the gradient of the mean loss into the ``.grad`` of the parameters, for an
    optimizer, and ``value_and_grad`` returns it in the structure of ``params``.  Both take a penalty, which is added
    once.  However the batch was split, the outcome is that of the whole batch, up to the rounding of additions.

    ``unit`` says what is counted and divided by: with "example" the losses have shape (m,), with any other word, such
    as "token", any shape with axes.  ``count`` is how many have been added, or the sum of their weights.  ``a + b`` and
    ``sum([a, b, c])`` merge sums for parameters of the same structure and with the same unit; a part with nothing in
    it, or to which nothing was ever added, changes nothing.

    The sums are float64 for parameters of every dtype, since the rounding of 10,000 additions in float32 can be seen;
    a gradient is rounded to the parameter's dtype once, after the division.  Copies and pickles are independent; a
    pickle carries the sums and the structure without the parameters, and so it can be merged and divided.

    Raises ``TypeError`` for parameters that are not floating-point numbers, ``ValueError`` if there are none or if a
    tensor is there twice.

    >>> import numpy as np, tinygrad_mb as tg
    >>> X, Y = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]]), np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    >>> model = tg.nn.Linear(1, 1, rng=0)
    >>> sums = tg.minibatch.Sums(model)
    >>> for x, y in tg.minibatch.batches(X, Y, size=2, shuffle=False):
    ...     sums.add(np.square(model(x)[:, 0] - y))
    >>> loss = sums.write_grads()
    >>> whole = np.square(model(X)[:, 0] - Y).mean()
    >>> bool(np.allclose(model.W.grad, whole.gradient(model.W), rtol=1e-14))
    True
    >>> def losses(params, x, y):
    ...     return np.square(x[:, 0] * params["w"] - y)
    >>> first, last = tg.minibatch.Sums({"w": 1.0}), tg.minibatch.Sums({"w": 1.0})
    >>> first.add(losses, X[:4], Y[:4])
    >>> last.add(losses, X[4:], Y[4:])
    >>> first + last
    <Sums of 5 examples: mean loss 0.8, gradient for 1 number>
    >>> (first + last).value_and_grad()
    (0.8, {'w': array(0.8)})
    """

    def __init__(self, params: Any, unit: str = "example") -> None:
        self.unit = unit
        nest = Nest(params)
        if not nest.leaves:
            raise ValueError(f"Sums: there are no parameters in {params!r:.60}")
        leaves = dict(zip(nest.paths, nest.leaves, strict=True))
        tensors = [id(leaf) for leaf in nest.leaves if isinstance(leaf, Tensor)]
        if len(leaves) < len(nest.leaves) or len(set(tensors)) < len(tensors):
            raise ValueError(
                f"Sums: a tensor or a path is there twice among the parameters {nest.paths}: list it once. Models that "
                "share tensors can be attributes of one Module, which does."
            )
        self._params: Any = params
        self._leaves: dict[str, Any] = leaves
        self._paths: Any = nest.fill(nest.paths)
        self._entries: dict[str, _Entry] = {}
        start = 0
        for path in sorted(leaves):  # by name, so that the order in which a dict was filled plays no part
            data = data_of(leaves[path])
            if not hasattr(data, "dtype"):
                data = np.asarray(data)
            if data.dtype.kind != "f":
                raise TypeError(
                    f"Sums: parameter {path!r} is {describe(data)}, and gradients are of floating-point numbers only"
                )
            self._entries[path] = _Entry(start, start + data.size, data.shape, data.dtype)
            start += data.size
        self._packed = np.zeros(start + 2)

    # ------------------------------------------------------------------------------------ adding

    def add(self, losses: Any, *batch: Any, weights: Any = None) -> None:
        """Add a part of the batch.

        Either ``add(losses)``, with recorded losses that were computed from the parameters, or
        ``add(loss_fn, *batch)`` for ``loss_fn(params, *batch)``, which returns them.  They are one per example, of
        shape (m,) with any m from 0, or of any shape with axes if the unit is not "example".  It touches no ``.grad``.

        ``weights``, of the shape of the losses, are constants from 0, or a mask: Σ wᵢ ℓᵢ and Σ wᵢ are added.  What has
        weight 0 does not count, not even a loss that is nan; but its derivative on the way back is 0 times whatever
        the model makes of it, and 0 · nan is nan: then this raises ``FloatingPointError``.

        Raises ``ShapeError`` for a single number, which has lost its count, and for losses or weights of another
        shape; ``ValueError`` for negative weights and for losses that depend on none of the parameters; ``TypeError``
        for losses that carry no gradient; ``ChangedArrayError`` if the parameters are no longer what they were for the
        first part.
        """
        self._require_params("add()")
        point = self._place_now()
        if self._point not in (b"", point):
            raise ChangedArrayError(
                "Sums.add: the parameters have changed since the first part was added, and gradients at different "
                "points do not add up: call write_grads() and step() after the last part, and then make new Sums"
            )
        if callable(losses):
            loss_fn = losses
            with no_grad():  # nothing outside of the function will ask for derivatives
                losses, pull = vjp(lambda params: loss_fn(params, *batch), self._params)
                part = measure("Sums.add", "loss", losses, weights, self.unit)
                if part.seed is not None:
                    found = Nest(pull(part.seed)[0])
                    self._accumulate(part, dict(zip(found.paths, found.leaves, strict=True)))
        else:
            if batch:
                raise TypeError(
                    "Sums.add takes either recorded losses alone, or a loss function and its batch; weights go by "
                    "name, add(losses, weights=...)"
                )
            part = measure("Sums.add", "loss", losses, weights, self.unit)
            if part.seed is not None:
                self._accumulate(part, self._recorded(losses, part.seed))
        self._packed[-2:] += part.sums
        self._point = point

    def _recorded(self, losses: Any, seed: Array) -> dict[str, Any]:
        """The gradients by path of recorded losses."""
        for path, leaf in self._leaves.items():
            if not isinstance(leaf, Tensor):
                raise TypeError(
                    f"Sums.add(losses) wants parameters that are Tensors, and {path!r} is {describe(leaf)}: hand the "
                    "loss function over, add(loss_fn, *batch)"
                )
        if not isinstance(losses, Tensor) or not losses.requires_grad:
            raise TypeError(
                f"Sums.add: the losses {describe(losses)} carry no gradient: they were computed inside no_grad(), or "
                "from no tensor that requires gradients. To average losses without their gradient, use Mean."
            )
        grads = losses.gradient(*self._leaves.values(), gradient=seed)
        found = dict(zip(self._leaves, grads if len(self._leaves) > 1 else (grads,), strict=True))
        if not any(g.any() for g in found.values()):
            nodes = {leaf.node for leaf in self._leaves.values()}
            if nodes.isdisjoint(differentiable_ancestors([losses.node])):
                raise ValueError(
                    f"Sums.add: the losses {describe(losses)} depend on none of the parameters {list(self._leaves)}: "
                    "they come from another model, or the parameters have been replaced since Sums(params)"
                )
        return found

    def _accumulate(self, part: Part, found: dict[str, Any]) -> None:
        if part.masked_not_finite and part.finite:
            for path, g in found.items():
                if not np.isfinite(g).all():
                    raise FloatingPointError(
                        f"Sums.add: {part.masked_not_finite} of the losses that have weight 0 are not finite, and on "
                        f"the way back 0 * nan made the gradient by {path!r} nan. Replace what goes in at the masked "
                        "places before the loss is computed: np.where(mask, x, 1.0)"
                    )
        for path, g in found.items():
            view = self._view(path)
            np.add(view, g, out=view)

    def _view(self, path: str) -> Array:
        entry = self._entries[path]
        return self._packed[entry.start : entry.stop].reshape(entry.shape)

    # ---------------------------------------------------------------------------------- dividing

    @property
    def mean_loss(self) -> float:
        """The mean of the losses, without a penalty; raises ``ValueError`` if the count is 0."""
        return self._mean()

    def value_and_grad(self, penalty: Callable[[Any], Any] | None = None) -> tuple[float, Any]:
        """The mean loss and its gradient, in the structure of the parameters and of their dtypes.

        ``penalty(params)`` is one number that does not depend on the examples, such as a weight decay; it is computed
        here, once, however many parts there were, and it and its gradient are added to the means.

        Raises ``ValueError`` if the count is 0.

        >>> import numpy as np, tinygrad_mb as tg
        >>> sums = tg.minibatch.Sums(np.array([1.0, 2.0]))
        >>> sums.add(lambda w, x: x @ w, np.array([[1.0, 0.0], [3.0, 1.0]]))
        >>> sums.value_and_grad(penalty=lambda w: 0.5 * np.square(w).sum())
        (5.5, array([3. , 2.5]))
        """
        value = self._mean()
        grads = {path: self._view(path) / self.count for path in self._entries}
        if penalty is not None:
            self._require_params("a penalty")
            with no_grad():
                added, slopes = value_and_grad(penalty)(self._params)
            value += float(added)
            found = Nest(slopes)
            for path, slope in zip(found.paths, found.leaves, strict=True):
                grads[path] = grads[path] + slope
        arrays = [np.asarray(grads[path], self._entries[path].dtype) for path in Nest(self._paths).leaves]
        return value, Nest(self._paths).fill(arrays)

    def write_grads(self, penalty: Callable[[Any], Any] | None = None) -> float:
        """Put the gradient of ``value_and_grad`` in the place of the parameters' ``.grad``, and return the value.

        What ``.grad`` was before is forgotten, so that no ``zero_grad`` is needed.  Raises ``ValueError`` if the count
        is 0, ``TypeError`` if the parameters are not Tensors.
        """
        self._require_params("write_grads()")
        for path, leaf in self._leaves.items():
            if not isinstance(leaf, Tensor) or not leaf.is_leaf:
                raise TypeError(
                    f"Sums.write_grads(): parameter {path!r}, {describe(leaf)}, is not a Tensor made by the user, and "
                    "so it has no .grad to write to; use value_and_grad()"
                )
        value, grads = self.value_and_grad(penalty)
        for path, g in zip(Nest(self._paths).leaves, Nest(grads).leaves, strict=True):
            self._leaves[path].grad = g
        return value

    # ------------------------------------------------------------------------------ what it is

    @property
    def _signature(self) -> dict[str, str]:
        """The unit, and shape and dtype of each parameter."""
        return super()._signature | {f"parameter {path!r}": str(entry) for path, entry in self._entries.items()}

    def _place(self) -> bytes:
        return self._point or (self._place_now() if self._leaves else b"")

    def _place_now(self) -> bytes:
        """A fingerprint of the parameters' present values."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self._entries:
            found = fingerprint(np.asarray(data_of(self._leaves[path])))
            for part in found if isinstance(found, tuple) else (found,):
                digest.update(part)
        return digest.digest()

    def _require_params(self, what: str) -> None:
        if not self._leaves:
            raise RuntimeError(
                f"{what} needs the parameters, and these Sums come from a pickle, without: add them to Sums(params)"
            )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_params": None, "_leaves": {}}

    def __repr__(self) -> str:
        size = len(self._packed) - 2
        loss = f"mean loss {self._mean():.6g}, " if self.count else ""
        return f"<Sums of {self._counted()}: {loss}gradient for {size} number{'' if size == 1 else 's'}>"
