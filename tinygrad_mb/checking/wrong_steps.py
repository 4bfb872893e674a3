"""Back-propagation through time that is cut off, or that takes the state of another step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..graph import Node
from ..wording import listed
from .candidates import PRODUCTS, Candidate, edges_of, nothing, on_the_way_back, place, site
from .recordings import Recording, operation
from .walks import Change, Pull
from .wrong_paths import reading

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


def own_states(recording: Recording) -> Iterator[Candidate]:
    """Gradients of weights that are made with the state that a step makes, in the place of that which it gets."""
    steps = states(recording)
    following = dict(pairwise(steps))
    found: dict[Node, list[tuple[int, int, Pull, int, int]]] = {}
    first: dict[Node, tuple[int, int, Pull, int, int]] = {}
    for k, position, node, pull in edges_of(recording) if steps else ():
        if operation(node).name not in PRODUCTS or position > 1 or node.inputs[position] not in recording.of_parameters:
            continue
        assert node.plan is not None
        weights, state = node.inputs[position], node.inputs[1 - position]
        if 1 - position not in node.plan.saves or not isinstance(state, Node):
            continue
        saved_at = node.plan.saves.index(1 - position)
        if recording.index.get(state) in following:
            read = following[recording.index[state]]
            found.setdefault(weights, []).append((k, position, pull, saved_at, read))
        elif k < steps[0] and state.shape == recording.nodes[steps[0]].shape:  # where the loop begins
            first[weights] = k, position, pull, saved_at, steps[0]
    for names in [[weights] for weights in found] + [[*found]] * (len(found) > 1):
        inner = [edge for weights in names for edge in found[weights]]
        outer = [first[weights] for weights in names if weights in first]
        for edges in [inner, inner + outer] if outer else [inner]:

            def change(r: Recording, edges: Any = edges) -> Change:
                return Change(edges={
                    (k, position): reading(pull, saved_at, at)(r) for k, position, pull, saved_at, at in edges
                })  # fmt: skip

            called = listed([weights.name or "weights" for weights in names])
            claim = f"each step's own state stands in the place of that before it in the gradient of {called}"
            yield on_the_way_back(27, f"{claim}, in {_where(recording, steps)}", change)


def _where(recording: Recording, steps: list[int]) -> str:
    return f"the {len(steps)} steps that end with {place(recording, steps[-1])}"


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

    where = _where(recording, steps)
    for k in range(1, len(steps) - 1):

        def before(r: Recording, k: int = k) -> Change:
            return Change(at={steps[-1 - k]: lambda g: 0 * g})

        last = "the last step" if k == 1 else f"the last {k} steps"
        yield on_the_way_back(26, f"back-propagation through time stops after {last} of {where}", before)
    yield on_the_way_back(26, f"errors go back from no step to the one before it, in {where}", between)
