"""What the page of a picture lays out: all that can be unfolded there, with a note of what is folded at first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ..graph import Node
from .folding import Folding, Group, Item, fold

ROOM = 1000  # operations that a page lays out; what is more stays folded


class Opening(NamedTuple):
    """A folding in which repetitions show all their turns.

    folding  everything
    repeats  the repetitions that are open
    folded   the groups that are folded at first
    twins    by repetition: for what its later turns show, what stands at the same place of the first turn, and the
             number of the turn, counted from 0
    """

    folding: Folding
    repeats: set[Group]
    folded: set[Group]
    twins: dict[Group, dict[Item, tuple[Item, int]]]


def opened(
    nodes: Sequence[Node], depth: int | None, limit: int, unfold: bool | Collection[str], room: int = ROOM
) -> Opening:
    """Everything up to ``room`` operations; what a picture with these options folds is folded at first."""
    room = max(room, limit)
    whole = fold(nodes, limit=room, unfold=unfold)
    picture = fold(nodes, depth=depth, limit=limit, unfold=unfold)
    folded = {_place(group) for group in _groups(picture.root) if group.folded}
    groups = list(_groups(whole.root))
    room -= len(set(whole.shown.values()))
    turns_of, whole.turns = whole.turns, {}
    opening = Opening(whole, set(), {group for group in groups if group.folded or _place(group) in folded}, {})
    for group in groups:
        length = (group.span[1] - group.span[0]) // max(len(group.turns), 1)
        cost = group.span[1] - group.span[0] - length
        if group.kind == "repeat" and cost <= room:
            room -= cost
            _open(group, length, opening)
    closed = [group for group in groups if group.kind == "repeat" and group not in opening.repeats]
    if not closed and not any(group.folded for group in groups if group.kind != "repeat"):
        whole.notes.clear()  # there is nothing that the page cannot unfold
    for node, turns in turns_of.items():
        still = {group: turn for group, turn in turns.items() if group in closed}
        later = any(turn for group, turn in turns.items() if group in opening.repeats)
        if still and not later:
            whole.turns[node] = still
    return opening


def _place(group: Group) -> tuple[str, str, tuple[int, int]]:
    """What is the same for a group in two foldings: a repetition may be all that there is in a module."""
    return group.kind, group.scope, group.span


def _groups(root: Group) -> Iterator[Group]:
    """All groups inside one, of repetitions those of the first turn, the outer ones first."""
    waiting: list[Item] = [*root.items]
    for item in waiting:  # grows on the way
        if isinstance(item, Group):
            yield item
            waiting += item.items


def _open(repeat: Group, length: int, opening: Opening) -> None:
    """Show all turns of a repetition."""
    folding, first = opening.folding, repeat.span[0]
    graph = repeat.graph
    path = folding.path[folding.shown[graph[first]]]
    frames = path[: path.index(repeat) + 1]
    twins: dict[Item, tuple[Item, int]] = {}
    for turn, items in enumerate(repeat.turns):
        waiting = [(item, frames) for item in items] if turn else []
        for item, around in waiting:  # grows on the way
            folding.path[item] = around
            if isinstance(item, Node):
                folding.shown[item] = item
            elif item.folded:
                folding.shown |= dict.fromkeys(item.nodes, item)
            else:
                waiting += [(inner, (*around, item)) for inner in item.items]
    for at in range(first + length, repeat.span[1]):
        turn, place = divmod(at - first, length)
        twins[folding.shown[graph[at]]] = folding.shown[graph[first + place]], turn
    opening.repeats.add(repeat)
    opening.twins[repeat] = twins
