"""Nests of arrays: tuples, lists, dicts, and classes that say how they are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Rebuild = Callable[[dict[str, Any]], Any]
_registered: dict[type, Callable[[Any], tuple[dict[str, Any], Rebuild]]] = {}


def register(cls: type, take_apart: Callable[[Any], tuple[dict[str, Any], Rebuild]]) -> None:
    """Let instances of ``cls`` be nests: ``take_apart`` gives their parts by name and a function that replaces them."""
    _registered[cls] = take_apart


class Nest:
    """A nest of arrays, taken apart: its leaves in order, each one's path, and the way back.

    >>> nest = Nest({"W": 1.0, "layers": [2.0, (3.0,)]})
    >>> nest.leaves
    [1.0, 2.0, 3.0]
    >>> nest.paths
    ['W', 'layers.0', 'layers.1.0']
    >>> nest.fill([10.0, 20.0, 30.0])
    {'W': 10.0, 'layers': [20.0, (30.0,)]}
    """

    __slots__ = ("_tree", "leaves", "paths")

    def __init__(self, tree: Any) -> None:
        self.leaves: list[Any] = []
        self.paths: list[str] = []
        self._tree = self._take(tree, "")

    def _take(self, tree: Any, path: str) -> Callable[[Iterator[Any], bool], Any]:
        prefix = path + "." if path else ""
        take_apart = next((f for cls, f in _registered.items() if isinstance(tree, cls)), None)
        if take_apart is not None:
            parts, rebuild = take_apart(tree)
            make = {key: self._take(part, prefix + key) for key, part in parts.items()}

            def fill(leaves: Iterator[Any], whole: bool) -> Any:
                filled = {key: build(leaves, whole) for key, build in make.items()}
                return rebuild(filled) if whole else filled

            return fill
        if isinstance(tree, dict):
            make = {key: self._take(part, f"{prefix}{key}") for key, part in tree.items()}
            return lambda leaves, whole: {key: build(leaves, whole) for key, build in make.items()}
        if isinstance(tree, (tuple, list)):
            builds = [self._take(part, f"{prefix}{k}") for k, part in enumerate(tree)]
            cls = type(tree)
            if hasattr(cls, "_fields"):
                return lambda leaves, whole: cls(*[build(leaves, whole) for build in builds])
            return lambda leaves, whole: cls([build(leaves, whole) for build in builds])
        if tree is None:
            return lambda leaves, whole: None
        self.leaves.append(tree)
        self.paths.append(path)
        return lambda leaves, whole: next(leaves)

    def fill(self, leaves: Iterable[Any], whole: bool = False) -> Any:
        """The nest with other leaves; instances of registered classes become dicts unless ``whole`` is true."""
        return self._tree(iter(leaves), whole)

    def match(self, other: Any, what: str) -> list[Any]:
        """The leaves of ``other``, which must have this nest's structure; raises ``ValueError`` if it has not."""
        nest = Nest(other)
        if nest.paths == self.paths:
            return nest.leaves
        found = dict(zip(nest.paths, nest.leaves, strict=True))
        if len(found) < len(nest.leaves) or found.keys() != set(self.paths):
            raise ValueError(f"{what} must have the structure {self.paths}, not {nest.paths}")
        return [found[path] for path in self.paths]
