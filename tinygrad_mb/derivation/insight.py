"""Reading that looks into values where they are used, so that what cancels is seen to cancel."""

from __future__ import annotations

from . import exponentials
from .expressions import Expr, expanded, walk
from .program import Call, Variable
from .reading import Reader

_MOST = 24  # variables in an expression that is looked into
_CHEAP = frozenset((
    "variable", "number", "size", "constant", "add", "multiply", "power", "apply", "compare", "not", "broadcast",
    "reshape", "sum", "max", "min", "softmax", "logsumexp", "onehot", "pick",
))  # fmt: skip


class Insight(Reader):
    """A reader for whom parts of softmaxes and sigmoids, and short cotangents, stand as what they are made of."""

    def read(self, call: Call) -> Expr:
        """What a call computes, multiplied out where that makes it shorter."""
        found = super().read(call)
        products = call.out.role in ("cotangent", "result") and found.op in ("add", "multiply")
        if products and found.length <= _MOST and any(map(exponentials.is_probability, walk(found))):
            found = self.meanings[call.out] = self.standing[call.out] = expanded(found)
        return found

    def settle(self, v: Variable, symbol: Expr) -> None:
        """Let a variable stand as ``symbol`` from now on, unless it is to be looked into."""
        meaning = self.meanings[v]
        looked_into = (
            v.role in ("cotangent", "result")
            or not meaning.length
            or _is_trivial(meaning)
            or exponentials.is_part(meaning)
        )
        if not looked_into or meaning.length > _MOST or any(part.op not in _CHEAP for part in walk(meaning)):
            self.standing[v] = symbol


def _is_trivial(x: Expr) -> bool:
    """Whether it is a variable times or plus a number."""
    return x.op in ("add", "multiply") and x.length == 1 and len(list(walk(x))) <= 4


def cost(x: Expr) -> tuple[int, int, int]:
    """How many variables an expression shows, how many δ, and how many different operations, numbers and variables."""
    parts = list(walk(x))
    deltas = [part for part in parts if part.op == "variable" and part.payload.role in ("cotangent", "result")]
    return x.length, len(deltas), len(parts)
