"""Formulas of rules: complete, in words of ours, and computing what the rule computes."""

import re
from pathlib import Path

import numpy as np
import pytest
from problems import PROBLEMS
from problems.posing import TABLE

import tinygrad_mb as tg
from tinygrad_mb import Tensor, nn
from tinygrad_mb.derivation import rule_text
from tinygrad_mb.derivation.rule_text import formula
from tinygrad_mb.graph import Node
from tinygrad_mb.primitives import PRIMITIVES

SPECIAL = {"sigmoid": nn.sigmoid, "softmax": nn.softmax}
ELEMENTWISE = [op for key, op in TABLE.items() if isinstance(key, np.ufunc) and key is not np.matmul] + [
    PRIMITIVES[f] for f in (nn.relu, nn.sigmoid, nn.softplus, tg.special.erf, tg.special.normal_cdf)
]
CASES = [(op, position) for op in ELEMENTWISE for position in op.rules]


def formulas(
    out, label=lambda x: x.name if isinstance(x, Node) and x.name else "h" if isinstance(x, Node) else f"{x:g}"
):
    """(the operation, the argument) -> formula, for all rules that the graph of ``out`` would run."""
    found, todo = {}, [out.node]
    while todo:
        node = todo.pop()
        for rule in node.plan.rules:
            own = node.op.rules[0 if node.op.variadic else rule.position]
            found[node.op.name, rule.name] = formula(own, node, rule.position, label)
            todo.append(node.inputs[rule.position])
    return found


def evaluated(text, names):
    """The value of a formula, read as NumPy."""
    text = re.sub(r"\[([^\]]*)\]", lambda m: f"(({m[1].replace(' = ', ' == ').replace(' and ', ') & (')}))", text)
    text = re.sub(r"(.+), half of δ where they tie", r"\1", text)
    text = re.sub(r"√(\w+|π)", r"sqrt(\1)", text.replace("√(", "sqrt("))
    for sign, python in (
        ("⊙", "*"),
        ("·", "*"),
        ("²", "**2"),
        ("^", "**"),
        ("δ", "g"),
        ("π", "pi"),
        ("⌊", "floor("),
        ("⌋", ")"),
    ):
        text = text.replace(sign, python)
    return eval(text, {**vars(np), **SPECIAL, "where": np.where, **names})


@pytest.mark.parametrize(("op", "position"), CASES, ids=lambda case: getattr(case, "name", str(case)))
def test_a_formula_computes_what_the_rule_does(op, position):
    rng = np.random.default_rng(3)
    values = [rng.uniform(0.2, 0.9, 6) + (op.name == "arccosh") for _ in range(op.arrays)]
    if op.name == "ldexp":
        values[1] = np.arange(6)
    names = "ab"[: op.arrays]
    tensors = [
        Tensor(v, requires_grad=k == position, name=n) for k, (v, n) in enumerate(zip(values, names, strict=True))
    ]
    out = op.key(*tensors).named("h")
    (rule,) = out.node.plan.rules
    g = rng.uniform(1, 2, 6)
    text = formula(op.rules[position], out.node, position, lambda x: x.name)
    found = evaluated(text, {"g": g, "h": out.numpy(), **dict(zip(names, values, strict=True))})
    np.testing.assert_allclose(found, rule.pull(g, out.node, out.node.saved), rtol=1e-13)


def test_every_rule_of_the_table_has_a_formula_in_words_of_ours():
    seen = {}
    for problem in PROBLEMS:
        tensors = [Tensor(a, requires_grad=k in problem.wrt) for k, a in enumerate(problem.inputs)]
        for name, t in zip("abcdefgh", tensors, strict=False):
            t.name = name
        seen |= formulas(problem.run(*tensors))
    expected = {(op.name, op.names[k]) for op in TABLE.values() for k in op.rules}
    assert seen.keys() >= expected
    for (name, argument), text in seen.items():
        assert re.search(r"δ|^where\(", text), f"{name} {argument}: {text}"
        assert not re.search(r"lambda|_vjp|_shape|\bg\b|\bout\b|keepdims|\w_\w+\(", text.replace("one_hot(", "")), (
            f"{name} {argument}: {text}"
        )


def test_no_phrase_is_left_over():
    """Each is the name of something that a rule can call."""
    sources = "".join(file.read_text() for file in Path(tg.__file__).parent.glob("[vc]*/*.py"))  # vjps, carriers
    assert not [name for name in rule_text.PHRASES if not re.search(rf"\b{name}\b", sources)]


def of(text, **tensors):
    """The formulas of the operation that ``text`` makes of tensors, by argument."""
    named = {name: Tensor(a, requires_grad=True, name=name) for name, a in tensors.items()}
    out = eval(text, {"np": np, "nn": nn, **named}).named("h")
    label = lambda x: x.name or "data" if isinstance(x, Node) else f"{x:g}"  # noqa: E731
    op = out.node.op
    return [
        formula(op.rules[0 if op.variadic else r.position], out.node, r.position, label) for r in out.node.plan.rules
    ]


V, A, B = np.ones(3), np.ones((2, 3)), np.ones((3, 2))


@pytest.mark.parametrize(("text", "tensors", "expected"), [
    ("np.tanh(z)", {"z": A}, ["δ ⊙ (1 - h²)"]),
    ("np.tanh(z)", {"z": 1.0}, ["δ · (1 - h²)"]),
    ("a * b", {"a": A, "b": A}, ["δ ⊙ b", "δ ⊙ a"]),
    ("a * b", {"a": A, "b": 2.0}, ["δ · b", "δ ⊙ a"]),
    ("-0.5 * a", {"a": A}, ["δ · -0.5"]),
    ("a / 4", {"a": A}, ["δ / 4"]),
    ("a ** 2", {"a": A}, ["2 · δ ⊙ a"]),
    ("a ** 3", {"a": A}, ["δ · 3 ⊙ a²"]),
    ("a ** 0", {"a": A}, ["δ · 0 ⊙ (a + [a = 0])^(-1)"]),
    ("x @ W", {"x": A, "W": B}, ["δ @ W.T", "x.T @ δ"]),
    ("x @ w", {"x": A, "w": V}, ["δ ⊗ w", "x.T @ δ"]),
    ("w @ W", {"w": V, "W": B}, ["δ @ W.T", "w ⊗ δ"]),
    ("v @ w", {"v": V, "w": V}, ["δ · w", "δ · v"]),
    ("nn.linear(x, W, b)", {"x": A, "W": B, "b": np.ones(2)}, ["δ @ W.T", "x.T @ δ", "δ"]),
    ("a.sum()", {"a": A}, ["δ, spread over (2, 3)"]),
    ("a.mean(axis=1)", {"a": A}, ["δ · 1/3, spread over (2, 3)"]),
    ("a.mean()", {"a": A}, ["δ · 1/6, spread over (2, 3)"]),
    ("nn.relu(z)", {"z": A}, ["δ ⊙ [h > 0]"]),
    ("a[1:, 0]", {"a": A}, ["δ added at [1:, 0], 0 elsewhere"]),
    ("a.reshape(6)", {"a": A}, ["δ reshaped to (2, 3)"]),
    ("nn.softmax(z)", {"z": A}, ["h ⊙ (δ - Σ h ⊙ δ)"]),
    ("nn.cross_entropy(z, np.array([0, 2]))", {"z": A}, ["δ ⊙ (softmax(z) - one_hot(data))"]),
    ("np.where(np.ones(3) > 0, a, 0)", {"a": V}, ["δ where data, else 0"]),
    ("np.concatenate([a, b])", {"a": V, "b": V}, ["its part of δ", "its part of δ"]),
])  # fmt: skip
def test_formulas_are_written_as_a_person_would(text, tensors, expected):
    assert of(text, **tensors) == expected


def test_a_users_own_rule_is_read_as_well():
    @tg.primitive
    def swish(x, beta=1.0):
        return x / (1 + np.exp(-beta * x))

    tg.defvjp(swish, x=lambda g, x, out, beta: g * (beta * out + (1 - beta * out) / (1 + np.exp(-beta * x))))
    h = swish(Tensor(V, requires_grad=True, name="z"), beta=2.0)
    assert formulas(h) == {("swish", "x"): "δ ⊙ (2 · h + (1 - 2 · h) / (1 + exp(-2 · z)))"}


def test_a_users_helpers_are_not_taken_for_ours():
    def product(a, b, c):
        return a * b * c

    @tg.primitive
    def cubed(x):
        return x * x * x

    tg.defvjp(cubed, x=lambda g, x: product(g, x, 3 * x) + np.sum(0 * x, axis=0) + np.where(x > 0, 0, 0))
    h = cubed(Tensor(V, requires_grad=True, name="z"))
    assert formulas(h) == {
        ("cubed", "x"): "product(δ, z, 3 · z) + (Σ (0 · z) along axis 0) + (0 where [z > 0], else 0)"
    }


def rules_with_a_closure(k):
    return [
        (lambda g, x: g * k, "δ · 2"),
        (lambda g, x: g * k if x.ndim else g + g, "δ · 2"),
        (lambda g, x: g * (x // 1), "its rule(δ, z)"),
        (lambda g, x: g * np.linalg.norm(x), "its rule(δ, z)"),
        (lambda g, x: g * (0 < x < 1), "δ ⊙ [0 < z < 1]"),
        (lambda g, x: g * x if x.sum() else g, "its rule(δ, z)"),
        (lambda g, x: g * (x in (1, 2)), "its rule(δ, z)"),
    ]


@pytest.mark.parametrize(("rule", "expected"), rules_with_a_closure(2))
def test_nothing_is_made_up_about_a_users_rule(rule, expected):
    @tg.primitive
    def f(x):
        return x * x

    tg.defvjp(f, x=rule)
    assert formulas(f(Tensor(V, requires_grad=True, name="z"))) == {("f", "x"): expected}


def test_a_rule_that_is_a_function_or_has_no_source_is_named_as_a_call():
    def by_hand(g, x):
        y = g * x
        return 2 * y

    for rule, expected in ((by_hand, "by_hand(δ, z)"), (eval("lambda g, x: 2 * g * x"), "its rule(δ, z)")):

        @tg.primitive
        def twice(x):
            return x * x

        tg.defvjp(twice, x=rule)
        assert formulas(twice(Tensor(V, requires_grad=True, name="z"))) == {("twice", "x"): expected}
