"""Formulas of rules: what they say is what the rule computes, for every rule; and they read as a person would write."""

# ruff: noqa: RUF001

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from problems import PROBLEMS
from problems.posing import TABLE

sys.path.insert(0, str(Path(__file__).parent))
from evaluator import RecordedLatex, RecordedText, assert_told_apart, evaluate, is_same

import tinygrad_mb as tg
from tinygrad_mb import Tensor, nn
from tinygrad_mb.derivation import rule_formulas
from tinygrad_mb.derivation.formulas import in_text, numbered
from tinygrad_mb.derivation.program import Variable
from tinygrad_mb.derivation.rule_formulas import LONGEST, read_rule, rule_formula, trace_rule
from tinygrad_mb.graph import ancestors

# Rules that are named as a call, since what they compute is longer than a line.
LONG = {"cumprod", "prod"}


def label(node):
    return node.name or f"#{node.order}"


def rules_of(out):
    """All rules that the graph of ``out`` runs, with their nodes."""
    return [(node, rule) for node in ancestors(out.node) if node.op is not None for rule in node.plan.rules]


def posed(problem):
    names = "abcdefgh"
    tensors = [Tensor(a, requires_grad=k in problem.wrt, name=names[k % 8]) for k, a in enumerate(problem.inputs)]
    return problem.run(*tensors)


# ---------------------------------------------------------------------------------------- what is said is true


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_program_and_formula_compute_what_the_rule_does(problem):
    rng = np.random.default_rng(3)
    for node, rule in rules_of(posed(problem)):
        g = rng.uniform(1, 2, node.shape).astype(node.dtype)
        with np.errstate(all="ignore"):
            expected = np.asarray(rule.pull(g, node, node.saved))
            traced = trace_rule(node, rule, node.saved, label)
            values = {v: g if v.name == "δ" else v.value for v in traced.program.inputs}
            replayed = traced.program.run(values.values())
            found = replayed[traced.made] if isinstance(traced.made, Variable) else traced.made
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-13)
            form, numbers = read_rule(traced), {v.index: x for v, x in values.items()}
            assert is_same(np.broadcast_to(evaluate(form, numbers), expected.shape), expected), (node.op.name, form)
            formula = rule_formula(node, rule, node.saved, label)
            if formula.form is not None:
                shown = np.broadcast_to(evaluate(formula.form, numbers), formula.spread or expected.shape)
                assert is_same(shown, expected), (node.op.name, formula)
            symbols = {v.index: in_text(v.name) for v in values}
            page = SimpleNamespace(
                lines=[(SimpleNamespace(name=node.op.name), (form,), (), True)],
                symbols=dict.fromkeys((RecordedText, RecordedLatex), (symbols, numbered([form]))).get,
            )
            assert_told_apart(page, numbers)


def test_every_rule_of_the_table_has_a_formula_of_δ():
    seen = {}
    for problem in PROBLEMS:
        for node, rule in rules_of(posed(problem)):
            text = rule_formula(node, rule, node.saved, label).text
            seen.setdefault((node.op.name, rule.name), []).append(text)
    assert seen.keys() >= {(op.name, op.names[k]) for op in TABLE.values() for k in op.rules}
    for (name, argument), texts in seen.items():
        for text in texts:
            assert "δ" in text or text == "0", f"{name} {argument}: {text}"
            assert "its rule" not in text or name in LONG, f"{name} {argument}: {text}"
            assert not re.search(r"lambda|_vjp|\bg\b|\bout\b|keepdims|Ellipsis|slice|None|\b_", text), (name, text)
            assert len(text) <= LONGEST
    assert all(any("its rule" in text for texts in seen.values() for text in texts) for _ in LONG)


# ------------------------------------------------------------------------------------------ how it is written


def of(text, **tensors):
    """The formulas of the operation that ``text`` makes of tensors, one for each argument."""
    named = {name: Tensor(a, requires_grad=True, name=name) for name, a in tensors.items()}
    node = eval(text, {"np": np, "nn": nn, "y": Tensor([0, 2], name="y"), **named}).named("h").node
    found = [rule_formula(node, rule, node.saved, lambda x: x.name or "data") for rule in node.plan.rules]
    return [f.text if f.spread is None else f"{f.text}, over {f.spread}" for f in found]


V, A, B, C = np.ones(3), np.ones((2, 3)), np.ones((3, 2)), np.ones((4, 2, 3))
IMAGE, KERNELS = np.ones((2, 1, 4, 4)), np.ones((3, 1, 2, 2))


@pytest.mark.parametrize(("text", "tensors", "expected"), [
    ("np.tanh(z)", {"z": A}, ["δ ⊙ (1 − h²)"]),
    ("np.tanh(z)", {"z": 1.0}, ["δ (1 − h²)"]),
    ("nn.relu(z)", {"z": A}, ["δ ⊙ [h > 0]"]),
    ("nn.sigmoid(z)", {"z": A}, ["δ ⊙ h ⊙ (1 − h)"]),
    ("nn.softplus(z)", {"z": A}, ["δ ⊙ σ(z)"]),
    ("np.exp(z)", {"z": A}, ["δ ⊙ h"]),
    ("np.log(z)", {"z": A}, ["δ / z"]),
    ("np.sqrt(z)", {"z": A}, ["δ / (2 h)"]),
    ("a + b", {"a": A, "b": V}, ["δ", "δ"]),
    ("a - b", {"a": A, "b": V}, ["δ", "−δ"]),
    ("a * b", {"a": A, "b": A}, ["δ ⊙ b", "δ ⊙ a"]),
    ("a * b", {"a": A, "b": 2.0}, ["b δ", "δ ⊙ a"]),
    ("-0.5 * a", {"a": A}, ["−(1/2) δ"]),
    ("a / b", {"a": A, "b": A}, ["δ / b", "−δ ⊙ h / b"]),
    ("a ** 2", {"a": A}, ["2 δ ⊙ a"]),
    ("a ** 3", {"a": A}, ["3 δ ⊙ a²"]),
    ("a ** b", {"a": A, "b": A}, ["δ ⊙ b ⊙ (a + [a = 0] ⊙ [b = 0])^(b − 1)", "δ ⊙ h ⊙ log a"]),
    ("np.maximum(a, 0)", {"a": A}, ["δ ⊙ ([a > 0] + (1/2) [a = 0])"]),
    ("np.where(a > 0, a, 0)", {"a": A}, ["δ ⊙ data"]),
    ("x @ W", {"x": A, "W": B}, ["δ Wᵀ", "xᵀ δ"]),
    ("x @ w", {"x": A, "w": V}, ["δ wᵀ", "xᵀ δ"]),
    ("w @ W", {"w": V, "W": B}, ["W δ", "w δᵀ"]),
    ("v @ w", {"v": V, "w": V}, ["δ w", "δ v"]),
    ("x @ W", {"x": C, "W": B}, ["δ Wᵀ", "Σᵢ Σⱼ xᵢⱼᵀ δᵢⱼ"]),
    ("nn.linear(x, W, b)", {"x": A, "W": B, "b": np.ones(2)}, ["δ Wᵀ", "xᵀ δ", "δ"]),
    ("np.einsum('ij,kj->ik', a, b)", {"a": A, "b": A}, ["einsum([δ, b], ik,kj->ij)", "einsum([δ, a], ik,ij->kj)"]),
    ("a.sum()", {"a": A}, ["δ, over (2, 3)"]),
    ("a.sum(axis=0)", {"a": A}, ["δ, over (2, 3)"]),
    ("a.sum(axis=1)", {"a": A}, ["δ[:, new], over (2, 3)"]),
    ("a.mean()", {"a": A}, ["δ / 6, over (2, 3)"]),
    ("a.mean(axis=1)", {"a": A}, ["(1/3) δ[:, new], over (2, 3)"]),
    ("a.max(axis=1)", {"a": A}, ["δ[:, new] ⊙ [a = h[:, new]] / (Σₖ [a = h[:, new]])"]),
    ("np.linalg.norm(a)", {"a": V}, ["(δ / h) a"]),
    ("nn.softmax(z)", {"z": A}, ["h ⊙ (δ − Σₖ δ ⊙ h)"]),
    ("nn.log_softmax(z)", {"z": A}, ["δ − exp(h) ⊙ (Σₖ δ)"]),
    ("nn.cross_entropy(z, y)", {"z": A}, ["δ[:, new] ⊙ (softmax(z) − onehot(y))"]),
    ("nn.squared_error(a, b)", {"a": V, "b": V}, ["2 δ ⊙ (a − b)", "2 δ ⊙ (b − a)"]),
    ("a[1:, 0]", {"a": A}, ["(δ at [1:, 0], else 0)"]),
    ("a[np.array([0, 0, 1])]", {"a": A}, ["onehot(index)ᵀ δ"]),
    ("a[np.array([1, 0]), np.array([1, 1])]", {"a": A}, ["(δ at [index, index′], else 0)"]),
    ("a.T", {"a": A}, ["δᵀ"]),
    ("a.reshape(6)", {"a": A}, ["reshape[2×3](δ)"]),
    ("np.concatenate([a, b])", {"a": V, "b": V}, ["δ[0:3]", "δ[3:6]"]),
    ("np.stack([a, b], 1)", {"a": V, "b": V}, ["δ[:, 0]", "δ[:, 1]"]),
    ("nn.conv2d(x, W)", {"x": IMAGE, "W": KERNELS}, ["δ ⋆ᵀ W", "Σᵢ xᵢ ⋆ δᵢ"]),
    ("nn.max_pool2d(x, 2)", {"x": IMAGE}, ["unpool(δ; x)"]),
])  # fmt: skip
def test_formulas_are_written_as_a_person_would(text, tensors, expected):
    assert of(text, **tensors) == expected


def test_the_parts_of_layer_norm():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="x")
    mu = x.mean(axis=-1, keepdims=True).named("mu")
    sigma = x.std(axis=-1, keepdims=True).named("sigma")
    c = (x - mu).named("c")
    found = {
        (label(node), rule.name): rule_formula(node, rule, node.saved, label)[::2]
        for node, rule in rules_of((c / sigma).named("h"))
    }
    assert found == {
        ("h", "x"): ("δ / sigma", None),
        ("h", "y"): ("−δ ⊙ h / sigma", None),
        ("c", "x"): ("δ", None),
        ("c", "y"): ("−δ", None),
        ("sigma", "a"): ("(δ ⊙ (x − (1/3) Σₖ x)) / (3 sigma)", None),
        ("mu", "a"): ("(1/3) δ", (2, 3)),
    }


def test_operands_of_one_name_are_told_apart():
    a, b = (Tensor(A, requires_grad=True, name="δ") for _ in range(2))
    assert [rule_formula(n, rule, n.saved, label).text for n, rule in rules_of(a * b)] == ["δ ⊙ δ′′", "δ ⊙ δ′"]
    product = np.power(*[Tensor(A, requires_grad=True, name="u") for _ in range(2)])
    assert rule_formula(*rules_of(product)[0], product.node.saved, label).text.startswith("δ ⊙ u′ ⊙ (u + [u = 0]")


def test_inside_vmap_the_formula_is_that_of_one_example():
    W, x = Tensor(np.ones((3, 4)), requires_grad=True, name="W"), Tensor(np.ones((5, 3)), requires_grad=True, name="x")
    out = tg.vmap(lambda row: np.tanh(row @ W).named("h").sum())(x)
    found = [(n.op.name, rule_formula(n, rule, n.saved, label).text) for n, rule in rules_of(out)]
    (hidden,) = [node for node in ancestors(out.node) if node.op is not None and node.op.name == "hide"]
    assert found == [
        ("reveal", "hide(δ, axis=0)"), ("sum", "δ"), ("tanh", "δ ⊙ (1 − h²)"), ("matmul", "W δ"),
        ("matmul", f"{label(hidden)} δᵀ"), ("hide", "reveal(δ, axis=0)"),
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------- users' rules


def users(rule, x=V, **options):
    """The formula of a user's rule for a primitive of one array."""

    @tg.primitive
    def f(x, k=2.0):
        return x * x

    tg.defvjp(f, x=rule)
    out = f(Tensor(x, requires_grad=True, name="z"), **options).named("h")
    (rule,) = out.node.plan.rules
    return rule_formula(out.node, rule, out.node.saved, label).text


def by_hand(g, x):
    for _ in range(2):
        g = g * x
    return 2 * g


def in_place(g, x):
    out = np.zeros_like(x)
    out[...] = g * x
    return out


def with_a_long_formula(g, x):
    for k in range(1, 40):
        g = g + np.sin(k * x)
    return g


FACTOR = 3.0


@pytest.mark.parametrize(("rule", "expected"), [
    (lambda g, x: g * FACTOR, "3 δ"),
    (lambda g, x: g * 2 if x.ndim else g + g + g, "2 δ"),
    (lambda g, x, out, k: g * (k * out + (1 - k * out) / (1 + np.exp(-k * x))), "δ ⊙ (2 h + (1 − 2 h) ⊙ σ(2 z))"),
    (lambda g, x: np.where(x > 0, 0, g), "δ ⊙ [z ≤ 0]"),
    (lambda g, x: np.where(x, g, 0), "δ ⊙ [z ≠ 0]"),  # and not δ ⊙ z
    (lambda g, x: g * (x // 1), "δ ⊙ floor_divide(z, 1)"),
    (lambda g, x: 0 * x, "0"),
    (by_hand, "2 δ ⊙ z²"),
    (eval("lambda g, x: 2 * g * x"), "2 δ ⊙ z"),
    (lambda g, x: g * np.linalg.norm(x), "norm(z) δ"),
    (lambda g, x: g * x if x.sum() else g, "its rule(δ, z)"),
    (lambda g, x: g * (x in (1, 2)), "its rule(δ, z)"),
    (lambda g, x: 1 / 0, "its rule(δ, z)"),
    (lambda g: None, "its rule(δ)"),
    (in_place, "in_place(δ, z)"),
    (with_a_long_formula, "with_a_long_formula(δ, z)"),
])  # fmt: skip
def test_a_users_rule_is_run_and_not_guessed_at(rule, expected):
    assert users(rule) == expected


def test_a_users_helpers_are_not_taken_for_ours():
    def product(a, b, c):
        return a * b * c

    def softmax(g, x):
        return product(g, x, 3 * x) + np.sum(0 * x, axis=0)

    assert users(softmax) == "3 δ ⊙ z²"


def test_arrays_of_a_users_rule_are_constants():
    weights = np.array([1.0, 2.0, 4.0])
    assert users(lambda g, x: g * weights) == "δ ⊙ [1, 2, 4]"
    assert users(lambda g, x: g * np.arange(6.0).reshape(2, 3)[:1]) == "δ ⊙ const(1×3)"
    assert users(lambda g, x: g * weights + x * weights[::-1]) == "δ ⊙ [1, 2, 4] + z ⊙ [4, 2, 1]"


def test_a_rule_that_is_too_long_for_a_line_is_what_it_calls(monkeypatch):
    monkeypatch.setattr(rule_formulas, "LONGEST", 3)
    assert users(by_hand) == "by_hand(δ, z)"
    assert users(lambda g: g) == "δ"
