"""Back-propagation through time that is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..graph import Node
from .candidates import Candidate, nothing, on_the_way_back, place, site
from .recordings import Recording
from .walks import Change

_MOST_STEPS = 500


def states(recording: Recording) -> list[int]:
    """What a loop hands on from one step to the next, one node for each step; nothing if there is no such loop."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for k, node in enumerate(recording.nodes):
        if node.op is not None and node in recording.flow:
            alike.setdefault((*site(recording, k)[:1], str(node.shape)), []).append(k)
    found: list[int] = []
    for group in alike.values():
        if 2 < len(group) <= _MOST_STEPS and group[-1] > max(found, default=-1) and _is_passed_on(recording, group):
            found = group
    return found


def _is_passed_on(recording: Recording, group: list[int]) -> bool:
    """Whether each of these is made of the one before, and of those before that through it alone."""
    nodes = [recording.nodes[k] for k in group]
    return all(
        nodes[i] in _reached(recording, nodes[i + 1], None, group[i])
        and (i == 0 or nodes[i - 1] not in _reached(recording, nodes[i + 1], nodes[i], group[i - 1]))
        for i in range(len(nodes) - 1)
    )


def _reached(recording: Recording, node: Node, without: Node | None, oldest: int) -> set[Node]:
    """What a node is made of, from the place ``oldest`` on, but for what another one is made of alone."""
    found, waiting = {node}, [node]
    while waiting:
        for parent in waiting.pop().inputs:
            known = isinstance(parent, Node) and parent is not without and parent not in found
            if known and recording.index[parent] >= oldest:
                found.add(parent)
                waiting.append(parent)
    return found


def cut_off(recording: Recording) -> Iterator[Candidate]:
    """Errors that go back to the last steps of a loop alone, or from no step to the one before."""
    steps = states(recording)
    if not steps:
        return
    cut = []
    for at, following in pairwise(steps):
        made_of = _reached(recording, recording.nodes[following], recording.nodes[at], at)
        cut += [(recording.index[user], position) for user, position in recording.users[recording.nodes[at]]
                if user in made_of and user.plan is not None
                and any(rule.position == position for rule in user.plan.rules)]  # fmt: skip

    def between(r: Recording) -> Change:
        return Change(edges=dict.fromkeys(cut, nothing))

    where = f"the {len(steps)} steps that end with {place(recording, steps[-1])}"
    for k in range(1, len(steps) - 1):

        def before(r: Recording, k: int = k) -> Change:
            return Change(at={steps[-1 - k]: lambda g: 0 * g})

        last = "the last step" if k == 1 else f"the last {k} steps"
        yield on_the_way_back(26, f"back-propagation through time stops after {last} of {where}", before)
    yield on_the_way_back(26, f"errors go back from no step to the one before it, in {where}", between)
