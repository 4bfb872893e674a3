# ruff: noqa: RUF001

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb.drawing.folding import Group, fold
from tinygrad_mb.graph import Node, ancestors


def operations(*outputs):
    return [node for node in ancestors(*[output.node for output in outputs])[::-1] if node.op is not None]


def parameter(*shape, name=None):
    return tg.Tensor(np.full(shape, 0.1), requires_grad=True, name=name)


def tree(group):
    """What is visible, as nested lists: operations by name, parts by title, frames with what is in them."""
    return [
        item.label
        if isinstance(item, Node)
        else (item.title, tree(item))
        if item.kind == "repeat" or not item.folded
        else item.title
        for item in group.items
    ]


def checked(nodes, **options):
    """The folding of nodes, which holds what every folding must hold."""
    folding = fold(nodes, **options)
    again = fold(nodes, **options)
    assert tree(folding.root) == tree(again.root)
    assert folding.notes == again.notes
    position = {node: k for k, node in enumerate(nodes)}

    assert list(folding.shown) == list(nodes)
    assert set(folding.path) == set(folding.shown.values())
    for node, item in folding.shown.items():
        if isinstance(item, Node):
            assert folding.shown[item] is item
            assert (item.op, item.shape) == (node.op, node.shape)
        else:
            assert item.kind in ("module", "rest")
            assert item.folded
            assert any(folding.shown[inside] is item for inside in item.nodes)
            if node not in item.nodes:
                assert node in folding.turns
    repeats = set()
    for item, frames in folding.path.items():
        repeats |= {frame for frame in frames if frame.kind == "repeat"}
        spans = [frame.span for frame in frames]
        spans.append(item.span if isinstance(item, Group) else (position[item], position[item] + 1))
        assert all(a[0] <= b[0] <= b[1] <= a[1] for a, b in itertools.pairwise(spans))
        for frame in frames:
            assert frame.kind == "repeat" or (frame.kind == "module" and not frame.folded)
    for repeat in repeats:
        check_turns(repeat, position)
    for node, turns in folding.turns.items():
        for repeat, turn in turns.items():
            assert repeat in repeats
            length = len(repeat.nodes) // len(repeat.turns)
            assert repeat in folding.path[folding.shown[node]]
            if list(turns) == [repeat]:
                assert repeat.nodes.index(node) // length == turn
    return folding


def check_turns(repeat, position):
    """All turns consist of the same operations, which read the same operations of their turn and of the last one."""
    assert repeat.turns[0] is repeat.items
    assert len(repeat.turns) >= 3
    assert len(repeat.nodes) == repeat.span[1] - repeat.span[0]
    start = repeat.span[0]
    length, rest = divmod(len(repeat.nodes), len(repeat.turns))
    assert rest == 0
    for before, node in zip(repeat.nodes, repeat.nodes[length:], strict=False):
        assert (before.op, before.shape, len(before.inputs)) == (node.op, node.shape, len(node.inputs))
        for a, b in zip(before.inputs, node.inputs, strict=True):
            at, then = (position.get(x, -1) if isinstance(x, Node) else -1 for x in (a, b))
            if at >= start or then >= start + length:
                assert then - at == length
            elif then < start:
                assert (isinstance(a, Node), at >= 0) == (isinstance(b, Node), then >= 0)


# ---------------------------------------------------------------------------------------------- known structures


def recurrent(steps, state):
    U, W, b = parameter(3, 5), parameter(5, 5), parameter(5)
    for _ in range(steps):
        state = np.tanh(np.ones((4, 3)) @ U + state @ W + b)
    return np.square(state).mean()


STEP = ["matmul", "matmul", "add", "add", "tanh"]


def test_a_loop_over_time_is_one_turn():
    folding = checked(operations(recurrent(36, np.zeros((4, 5)))))
    assert tree(folding.root) == [("× 36", STEP), "square", "mean"]
    assert folding.notes == ["5 operations: shown once, × 36"]
    repeat = folding.root.items[0]
    assert [folding.turns[node] for node in repeat.nodes[::5]] == [{repeat: turn} for turn in range(36)]
    assert folding.shown[repeat.nodes[-1]] is repeat.items[-1]
    assert len(folding.path) == 7


def test_the_beginning_of_a_turn_is_where_a_layer_begins():
    assert tree(checked(operations(recurrent(36, np.tanh(parameter(4, 5))))).root) == [
        "tanh", ("× 36", STEP), "square", "mean",
    ]  # fmt: skip
    h, W = parameter(2, 3), parameter(3, 3)
    for _ in range(9):
        h = np.tanh(h @ W)
    assert tree(checked(operations(h @ W)).root) == [("× 9", ["matmul", "tanh"]), "matmul"]


def test_a_first_turn_of_its_own_stays_outside():
    W, U = parameter(3, 3), parameter(3, 3)
    h = np.exp(np.ones((2, 3)) @ U)
    for _ in range(10):
        h = np.tanh(h @ W + np.ones((2, 3)) @ U)
    assert tree(checked(operations(h)).root) == ["matmul", "exp", ("× 10", ["matmul", "matmul", "add", "tanh"])]


class Block(tg.nn.Module):
    def __init__(self, d, hidden):
        self.first = tg.nn.Linear(d, hidden, rng=0)
        self.second = tg.nn.Linear(hidden, d, rng=1)

    def forward(self, x):
        return x + self.second(np.tanh(self.first(x)))


class Net(tg.nn.Module):
    def __init__(self, widths):
        self.blocks = [Block(4, width) for width in widths]
        self.out = tg.nn.Linear(4, 1, rng=0)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.out(x)


BLOCK = [("first", ["linear"]), "tanh", ("second", ["linear"]), "add"]


def net(widths):
    return operations(np.square(Net(widths)(np.ones((3, 4)))).mean())


def test_blocks_with_parameters_of_their_own_are_one_block():
    folding = checked(net([6] * 12))
    blocks = ("blocks.0 … blocks.11  × 12", [("blocks.0", BLOCK)])
    assert tree(folding.root) == [("Net", [blocks, ("out", ["linear"])]), "square", "mean"]
    assert folding.notes == ["blocks.0 … blocks.11 of Net: shown once, × 12"]
    model = folding.root.items[0]
    frames = folding.path[model.items[0].items[0].items[1]]
    assert [frame.title for frame in frames] == ["Net", "blocks.0 … blocks.11  × 12", "blocks.0"]
    assert [turn[0].title for turn in model.items[0].turns] == [f"blocks.{k}" for k in range(12)]
    assert model.items[1].scope == "Net/out"


def test_blocks_of_different_widths_are_different():
    folding = checked(net(range(2, 14)))
    assert folding.turns == {}
    assert folding.notes == []


def test_depth_folds_what_lies_deeper():
    nodes = net([6] * 12)
    assert tree(checked(nodes, depth=0).root) == ["Net", "square", "mean"]
    assert tree(checked(nodes, depth=1).root) == [
        ("Net", [("blocks.0 … blocks.11  × 12", ["blocks.0"]), "out"]), "square", "mean",
    ]  # fmt: skip
    five = checked(net([6] * 5), depth=1)
    assert tree(five.root) == [("Net", [*[f"blocks.{k}" for k in range(5)], "out"]), "square", "mean"]
    assert five.notes == []  # it was asked for
    opened = checked(net([6] * 5), depth=0, unfold={"blocks.3"})
    assert tree(opened.root)[0][1][3] == ("blocks.3", ["first", "tanh", "second", "add"])


def test_a_name_that_nothing_has_is_an_error():
    with pytest.raises(ValueError, match=r"unfold: nothing is called 'decoder'; there is 'Net', 'Net/blocks.0', "):
        fold(net([6] * 12), unfold=["decoder"])


@pytest.mark.parametrize(
    "names", [True, "blocks.5", {"Net/blocks.5"}, ["blocks.0 … blocks.11"], {"blocks.0 … blocks.11  × 12"}]
)
def test_repetitions_are_unfolded_by_name(names):
    folding = checked(net([6] * 12), unfold=names)
    blocks = [(f"blocks.{k}", BLOCK) for k in range(12)]
    assert tree(folding.root) == [("Net", [*blocks, ("out", ["linear"])]), "square", "mean"]


def test_what_is_named_stays_whatever_the_limit():
    folding = checked(net([6] * 12), unfold={"Net/blocks.3"}, limit=4)
    block = ("blocks.3", ["first", "tanh", "second", "add"])
    assert tree(folding.root) == [("Net", ["… 12 operations", block, "… 33 operations"]), "… 2 operations"]
    assert folding.notes == [
        "12 operations of Net: left out",
        "33 operations of Net: left out",
        "2 operations: left out",
        "Net/blocks.3/first … Net/blocks.3/second: 2 modules as one box each",
    ]


def losses(weights, penalty=lambda w: w * w):
    total = 0.0
    for k, w in enumerate(weights):
        error = tg.Tensor([k, 1.0, 2.0], name=f"x{k}") @ w - 1.0
        total = total + penalty(error)
    return total


def test_a_loss_for_each_example():
    folding = checked(operations(losses([parameter(3)] * 5)))
    assert tree(folding.root) == [("× 5 examples", ["matmul", "subtract", "multiply", "add"])]
    assert folding.notes == ["4 operations: shown once, × 5 examples"]


def test_a_sum_over_parameters_is_none_over_examples():
    total = 0.0
    for k in range(9):
        total = total + np.square(parameter(3, name=f"w{k}")).sum()
    assert tree(checked(operations(total)).root) == [("× 9", ["square", "sum", "add"])]


def test_a_sum_over_times_is_none_over_examples():
    states, W = [parameter(3)], parameter(3, 3)
    for _ in range(6):
        states.append(np.tanh(states[-1] @ W))
    total = 0.0
    for state in states[1:]:
        total = total + np.square(state - 1.0).sum()
    assert tree(checked(operations(total)).root) == [
        ("× 6", ["matmul", "tanh"]), ("× 6", ["subtract", "square", "sum", "add"]),
    ]  # fmt: skip


def test_examples_that_are_taken_out_of_a_batch():
    H, w, total = np.tanh(parameter(5, 3)), parameter(3), 0.0
    for k in range(5):
        total = total + np.square(H[k] @ w)
    assert tree(checked(operations(total)).root) == ["tanh", ("× 5 examples", ["index", "matmul", "square", "add"])]


def test_scalars_that_add_up_are_no_examples():
    total, w = 0.0, tg.Tensor(2.0, requires_grad=True)
    for k in range(12):
        total = total + w * float(k)
    assert tree(checked(operations(total)).root) == [("× 12", ["multiply", "add"])]


def test_loops_in_blocks():
    h, W = parameter(3), parameter(3, 3)
    for k in range(4):
        with tg.scope(f"block{k}"):
            start = h
            for _ in range(12):
                h = np.tanh(h @ W)
            h = h + start
    folding = checked(operations(h))
    inner = ("× 12", ["matmul", "tanh"])
    assert tree(folding.root) == [("block0 … block3  × 4", [("block0", [inner, "add"])])]
    outer = folding.root.items[0]
    loop = outer.items[0].items[0]
    node = outer.nodes[2 * 25 + 7 * 2]
    assert folding.turns[node] == {outer: 2, loop: 7}
    assert list(folding.turns[node]) == [outer, loop]
    assert folding.shown[node] is loop.items[0]
    assert folding.notes == ["block0 … block3: shown once, × 4", "2 operations of block0: shown once, × 12"]


def test_loops_in_loops():
    h, W = parameter(3), parameter(3, 3)
    for _ in range(5):
        for _ in range(6):
            h = np.tanh(h @ W)
        h = np.exp(h)
    assert tree(checked(operations(h)).root) == [("× 5", [("× 6", ["matmul", "tanh"]), "exp"])]


def test_what_all_turns_read_from_in_front_of_the_loop():
    W = parameter(3, 3)
    memory = np.tanh(parameter(2, 3))
    states = [np.sin(memory[0])]
    for _ in range(6):
        states.append(np.cos(states[-1] @ W))
    h = np.exp(memory)
    for state in states[1:]:
        h = np.sqrt(h @ W + state * memory)
    titles = [item.title for item in checked(operations(h)).root.items if isinstance(item, Group)]
    assert titles == ["× 6", "× 6"]


def test_two_states_ago():
    a, b = parameter(3), parameter(3)
    for _ in range(20):
        a, b = b, np.tanh(a + b)
    assert tree(checked(operations(b)).root) == [("× 20", ["add", "tanh"])]


def test_the_same_operations_with_other_wiring_do_not_repeat():
    h = parameter(3)
    values = [h]
    choose = random.Random(3)
    for k in range(40):
        values.append(values[-1] + values[choose.randrange(max(0, k - 7), k + 1)])
    folding = checked(operations(values[-1]))
    assert all(len(repeat.turns) < 5 for turns in folding.turns.values() for repeat in turns)
    branches = [parameter(3) * 2.0]
    for k in range(30):  # the turns read one, two, three, ... values ago
        branches.append(branches[-1] + branches[-1 - int(k**0.5)])
    assert len(checked(operations(branches[-1])).path) > 12


def test_an_expression_of_scalars_is_shown_in_full():
    a, b = tg.Tensor(-4.0, requires_grad=True), tg.Tensor(2.0, requires_grad=True)
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + np.maximum(b + a, 0)
    d = d + 3 * d + np.maximum(b - a, 0)
    e = c - d
    f = e**2
    g = f / 2.0
    nodes = operations(g + 10.0 / f)
    folding = checked(nodes)
    assert folding.shown == {node: node for node in nodes}
    assert (folding.turns, folding.notes) == ({}, [])


def test_few_boxes_are_not_worth_a_frame():
    h = parameter(3)
    for _ in range(8):
        h = np.tanh(h)
    assert tree(checked(operations(h)).root) == ["tanh"] * 8
    assert tree(checked(operations(np.tanh(h))).root) == [("× 9", ["tanh"])]


def test_a_scope_that_is_entered_again_is_a_second_part():
    h = parameter(3)
    for name in ("a", "b", "a"):
        with tg.scope("model"), tg.scope(name):
            h = np.tanh(np.sin(h))
        h = np.exp(h)
    part = ["sin", "tanh"]
    assert tree(checked(operations(h)).root) == [
        ("model", [("a", part)]), "exp", ("model", [("b", part)]), "exp", ("model", [("a", part)]), "exp",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- limits


def mixed(count, seed=0):
    h, functions = parameter(3), (np.tanh, np.arctan, np.sin, np.cos)
    choose = random.Random(seed)
    for _ in range(count):
        h = choose.choice(functions)(h)
    return h


def test_the_middle_of_a_long_row_is_left_out():
    folding = checked(operations(mixed(10_000)), unfold=True)
    assert len(folding.path) == 150
    rest = folding.root.items[75]
    assert (rest.kind, rest.title, len(rest.nodes)) == ("rest", "… 9,851 operations", 9_851)
    assert folding.notes == ["9,851 operations: left out"]
    assert len(checked(operations(mixed(150)), unfold=True).path) == 150


def test_modules_are_folded_before_anything_is_left_out():
    h = parameter(3)
    for k, name in enumerate(("encoder", "middle", "decoder")):
        with tg.scope(name):
            for part in range(4):
                with tg.scope(f"part{part}"):
                    h = np.tanh(mixed(20, 4 * k + part) * h)
            h = np.exp(h)
    nodes = operations(h)
    assert tree(checked(nodes, limit=100).root) == [
        (name, [*[f"part{k}" for k in range(4)], "exp"]) for name in ("encoder", "middle", "decoder")
    ]
    folding = checked(nodes, limit=3)
    assert tree(folding.root) == ["encoder", "middle", "decoder"]
    assert folding.notes == ["encoder … decoder: 3 modules as one box each"]


def test_the_only_module_stays_open():
    with tg.scope("model"):
        h = mixed(1000)
    folding = checked(operations(h.sum()))
    assert folding.root.items[0].title == "model"
    assert len(folding.path) == 150


@pytest.mark.parametrize("limit", [1, 2, 3, 20, 150])
def test_scopes_in_scopes(limit):
    h = parameter(3)

    def inside(h, depth):
        if not depth:
            return h
        with tg.scope(f"level{depth}"):
            return np.sin(inside(np.cos(h), depth - 1))

    folding = checked(operations(inside(h, 200)), limit=limit)
    assert 1 <= len(folding.path) <= limit


def test_chains_of_many_thousands():
    y = tg.Tensor(0.0, requires_grad=True)
    for _ in range(100_000):
        y = y + y
    nodes = operations(y)
    folding = fold(nodes)
    assert tree(folding.root) == [("× 100000", ["add"])]
    assert folding.turns[nodes[777]] == {folding.root.items[0]: 777}
    assert len(fold(nodes, unfold=True).path) == 150


def test_nothing_at_all():
    folding = checked([])
    assert (folding.root.items, folding.shown, folding.path, folding.notes) == ([], {}, {}, [])


def test_refused_options():
    with pytest.raises(ValueError, match=r"limit .* at least 1, not 0"):
        fold([], limit=0)
    with pytest.raises(ValueError, match="0 or more, not -1"):
        fold([], depth=-1)


# ------------------------------------------------------------------------------------------------- random programs

step = st.tuples(st.sampled_from([np.tanh, np.add, np.multiply, np.sin]), st.integers(1, 6), st.integers(1, 6))
part = st.recursive(
    st.lists(step, min_size=1, max_size=4),
    lambda inner: st.tuples(st.sampled_from(["", "block.", "cell"]), st.integers(1, 7), st.lists(inner, max_size=3)),
    max_leaves=8,
)


def run(part, values):
    if isinstance(part, list):
        for function, *back in part:
            operands = [values[-min(k, len(values))] for k in back[: function.nin]]
            values.append(function(*operands))
        return
    name, times, inside = part
    for turn in range(times):
        with tg.scope(f"{name}{turn}" if name == "block." else name):
            for inner in inside:
                run(inner, values)


@settings(max_examples=150, deadline=None)
@given(part=part, limit=st.integers(1, 40), depth=st.none() | st.integers(0, 3), all_turns=st.booleans())
def test_random_programs(part, limit, depth, all_turns):
    values = [parameter(2), parameter(2)]
    with np.errstate(all="ignore"):
        run(part, values)
    nodes = [value.node for value in values[2:]]
    folding = checked(nodes, limit=limit, depth=depth, unfold=all_turns)
    assert len(folding.path) <= limit
    if all_turns and len(nodes) <= limit and depth is None:
        assert folding.shown == {node: node for node in nodes}
    if not all_turns:
        scopes = {scope for node in nodes for scope in node.scope.split("/")}
        checked(nodes, limit=limit, unfold={"cell", "block.1"} & scopes)
        checked(nodes)
