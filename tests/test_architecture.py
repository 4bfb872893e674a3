"""The rules of the house: imports run one way, files stay short, public names are documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_mb
from tinygrad_mb.graph import Node

PACKAGE = Path(tinygrad_mb.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import those that stand on a lower floor; rooms on one floor do not know each other.
FLOORS = (
    {"errors", "modes", "pytrees", "broadcasting", "batch_axes", "userfile", "wording"},
    {"primitives", "guards", "anomaly"},
    {"graph"},
    {"autodiff", "calls"},
    {"custom", "arraylike"},
    {"vjps"},
    {"composites", "at"},
    {"numpy_api"},
    {"carriers"},
    {"tensor"},
    {"transforms", "mapping"},
    {"nn", "optim", "minibatch", "special", "checking", "derivation"},
    {"drawing"},
    {"__init__"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# How distributions call the modules that they install.
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file imports when it runs, wherever the statement stands."""

    def visit(node: ast.AST) -> Iterator[tuple[str, ...]]:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = ("tinygrad_mb", *file.relative_to(PACKAGE).parts[:-1])
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from [(*module, alias.name) for alias in node.names]
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(file.read_text()))


def test_every_module_has_a_floor():
    assert {room_of(file) for file in FILES} <= set(FLOOR_OF)


def test_the_page_on_architecture_lists_the_rooms_from_the_ground_up():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    table = page.partition("| room | what it knows |")[2].partition("\n\n")[0]
    rooms = re.findall(r"`(\w+)/?`", "".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))
    assert sorted(rooms) == sorted(set(FLOOR_OF) - {"__init__", "__main__"})
    assert [FLOOR_OF[room] for room in rooms] == sorted(FLOOR_OF[room] for room in rooms)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    room = room_of(file)
    for name in imports(file):
        if name[0] == "tinygrad_mb":
            other = name[1] if name[1:] and name[1] in FLOOR_OF else "__init__"
            assert other == room or FLOOR_OF[other] < FLOOR_OF[room], f"{file.name} imports {'.'.join(name)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_longer_than_500_lines(file):
    assert len(file.read_text().splitlines()) <= 500


def test_other_libraries_come_from_the_dependencies_or_an_extra():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    declared = [project["dependencies"], *project["optional-dependencies"].values()]
    known = {re.split(r"[^\w-]", requirement)[0] for group in declared for requirement in group}
    used = {name[0] for file in FILES for name in imports(file)} - sys.stdlib_module_names - {"tinygrad_mb"}
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= known


def test_importing_the_package_loads_numpy_and_graphviz_at_most():
    program = (
        "import sys; before = set(sys.modules); import tinygrad_mb; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert {"tinygrad_mb", "numpy"} <= set(run.stdout.split()) <= {"tinygrad_mb", "numpy", "graphviz"}


def test_checkers_and_derivations_are_loaded_when_they_are_used():
    program = (
        "import sys, tinygrad_mb as tg; "
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('tinygrad_mb.')}; "
        "print(sorted(rooms & {'checking', 'derivation', 'demo', 'cli'})); tg.gradcheck, tg.derive, tg.explain; "
        "tg.check_derivation, tg.assert_gradients; print(set(tg.__all__) <= set(dir(tg)), hasattr(tg, 'nothing'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert run.stdout.splitlines() == ["[]", "True False"]


def test_drawing_reads_the_graph_and_never_changes_it():
    for file in (PACKAGE / "drawing").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and node.attr in Node.__slots__:
                assert isinstance(node.value, ast.Name), f"{file.name}:{node.lineno}"
                assert node.value.id == "self", f"{file.name}:{node.lineno}"


def public_names() -> list[tuple[str, str]]:
    """All (module, name) in the ``__all__`` of the package and of the subpackages that it exports."""
    names = [("tinygrad_mb", name) for name in tinygrad_mb.__all__]
    for module in pkgutil.iter_modules(tinygrad_mb.__path__, "tinygrad_mb."):
        if module.name.rpartition(".")[2] in tinygrad_mb.__all__:
            names += [(module.name, name) for name in getattr(importlib.import_module(module.name), "__all__", ())]
    return names


@pytest.mark.parametrize(("module", "name"), public_names(), ids=".".join)
def test_public_names_are_documented_with_an_example(module, name):
    value = getattr(importlib.import_module(module), name)
    documentation = inspect.getdoc(value) or ""
    assert re.match(r"[^\n]+[.:]", documentation), "a first sentence"
    if callable(value):
        assert ">>> " in documentation, "an example that is run as a doctest"
