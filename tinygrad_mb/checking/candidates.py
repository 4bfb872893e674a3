"""Wrong gradients, made by making a mistake on the recorded graph: what a person's gradients are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Node
from .loss_parts import DIVIDE
from .recordings import Recording, attempt, operation
from .walks import Array, Change, Gradients, Pull

PRODUCTS = frozenset(("matmul", "linear"))
_MOST_PLACES = 200  # nodes of a graph in which each place is tried alone


class Candidate(NamedTuple):
    """A mistake at a place.

    number  in the catalogue
    claim   what has been done, in words
    change  the mistake on the way back, for any recording of the loss; None if it is not one of a way back
    make    the gradients that come out; None where the mistake does not even run
    second  the number of the other mistake, if there are two in one
    whole   whether it is made wherever it can be made, and not at one of several such places
    """

    number: int
    claim: str
    change: Callable[[Recording], Change] | None
    make: Callable[[Recording], Gradients | None]
    second: int = 0
    whole: bool = True


def on_the_way_back(
    number: int, claim: str, change: Callable[[Recording], Change], second: int = 0, whole: bool = True
) -> Candidate:
    """A mistake that is a change of the way back."""
    return Candidate(number, claim, change, lambda r: attempt(lambda: r.back(change(r))), second, whole)


def place(recording: Recording, k: int) -> str:
    """A node as a sentence names it: its name, and the person's line that made it."""
    node = recording.nodes[k]
    where = node.extras.where if node.extras else None
    code = where.partition(": ")[2] if where else ""
    name = f"{node.name!r}" if node.name else f"the result {node.shape} of {node.op.name if node.op else 'a leaf'}"
    return f"{name} in `{code:.70}`" if code else name


def places(recording: Recording, ks: Sequence[int]) -> str:
    """One node, or several, as a sentence names them."""
    return place(recording, ks[0]) if len(ks) == 1 else f"all {len(ks)} places, the last {place(recording, max(ks))}"


def groups(recording: Recording, items: Sequence[Any], *keys: Callable[[Any], Any]) -> Iterator[tuple[list[Any], bool]]:
    """Each item alone, then, for each key, those that have the same: a mistake is often made at every step.

    With each comes whether it is all that are like it; of a large graph, only such groups come.
    """
    yielded: set[tuple[int, ...]] = set()
    labels = [[str(key(item)) for item in items] for key in keys]
    counts = [Counter(of_key) for of_key in labels]
    for k, item in enumerate(items):
        yielded.add((k,))
        whole = all(count[of_key[k]] == 1 for of_key, count in zip(labels, counts, strict=True))
        if whole or not is_large(recording):
            yield [item], whole
    for of_key in labels:
        found: dict[str, list[int]] = {}
        for k, label in enumerate(of_key):
            found.setdefault(label, []).append(k)
        for group in map(tuple, found.values()):
            if group not in yielded:
                yielded.add(group)
                yield [items[k] for k in group], True


def is_large(recording: Recording) -> bool:
    """Whether a graph has so many nodes that mistakes are tried in all steps of a loop at once, not in one alone."""
    return len(recording.nodes) > _MOST_PLACES


def repeated(recording: Recording) -> set[int]:
    """The nodes of a large graph that stand in a loop: others like them are made by the same line."""
    if not is_large(recording):
        return set()
    made = [k for k, node in enumerate(recording.nodes) if node.op is not None]
    sites = {k: site(recording, k)[0] + str(recording.nodes[k].shape) for k in made}
    counts = Counter(sites.values())
    return {k for k in made if counts[sites[k]] > 1}


def site(recording: Recording, k: int) -> tuple[str, ...]:
    """What the nodes that one operation of a loop has made have in common: the line, and what the operands are."""

    def made(x: Any) -> str:
        if not isinstance(x, Node):
            return str(x)
        line = x.extras.where if x.extras and x.extras.where else ""
        return f"{x.op.name} {line}" if x.op is not None else x.name or "constant"

    node = recording.nodes[k]
    return (made(node), *map(made, node.inputs))


def nothing(g: Array, node: Node, saved: Any) -> Array:
    """A rule by which an argument gets nothing."""
    return np.zeros(())


def edges_of(recording: Recording) -> Iterator[tuple[int, int, Node, Pull]]:
    """Node, position of the argument, and the rule, newest first; those that lead to a regulariser are left out."""
    for k in range(len(recording.nodes) - 1, -1, -1):
        node = recording.nodes[k]
        if node.op is not None and node.plan is not None and node in recording.flow:
            for rule in node.plan.rules:
                yield k, rule.position, node, rule.pull


def at_edges(number: int, claim: str, recording: Recording, edges: list[tuple[int, int, Any]]) -> Iterator[Candidate]:
    """Candidates for (node, position, its wrong rule for a recording): each alone, and those of one site."""
    for group, whole in groups(recording, edges, lambda edge: (site(recording, edge[0]), edge[1])):

        def change(r: Recording, group: Any = group) -> Change:
            return Change(edges={(k, position): rule(r) for k, position, rule in group})

        yield on_the_way_back(number, f"{claim}, at {places(recording, [k for k, _, _ in group])}", change, whole=whole)


def factor_name(recording: Recording, node: Node, other: Any) -> str:
    """The other factor of a product, or a divisor, as a sentence names it."""
    divided = "1 / " if node.op is DIVIDE else ""
    if not isinstance(other, Node):
        return f"{divided}{float(other):.6g}"
    if other.op is not None and other.name is None and isinstance(other.inputs[0], Node) and other.inputs[0].name:
        return f"{divided}{operation(other).name}({other.inputs[0].name})"
    return divided + (other.name or f"an array {other.shape}")
