"""What a primitive is, and how its derivative rules are declared.

A primitive is a function of arrays that the engine records as one node.  Its key is the NumPy function
itself (or a function of ours).  A derivative rule is a line of NumPy, and **the names of its parameters
say what it needs**:

    g           the cotangent of the result, of the result's shape
    out         the result
    x           the argument called x, or any other argument of the call, such as ``axis``
    x_shape     the shape of the argument x, which costs nothing to keep
    i           the position in a sequence of arrays, for functions such as ``np.concatenate``

What no rule names is not kept alive.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np

from .errors import HiddenAxisError, NotDifferentiableError, no_rule

Pull = Callable[[Any, Any, Any], Any]
Hint = Callable[[list[str], list[tuple[int, ...]], Sequence[Any]], str]

OUT = -1  # stands for the primitive's own result among the positions of its arguments


class Rule:
    """The derivative of a primitive with respect to one argument.

    fn     the rule itself
    name   the argument's name
    saves  the positions of the arrays that the rule reads, ``OUT`` for the result
    """

    __slots__ = ("_wants", "fn", "name", "saves")

    def __init__(self, fn: Callable[..., Any], name: str, primitive: Primitive) -> None:
        wants = list(inspect.signature(fn).parameters)
        if not wants or wants[0] != "g":
            raise TypeError(f"the rule for {name!r} must take the cotangent first: `lambda g, ...`, not {wants}")
        names, arrays = primitive.names, primitive.arrays
        self.fn = fn if is_own(fn) else _also_one_by_one(fn)
        self.name = name
        self._wants: list[tuple[str, int]] = []
        for want in wants[1:]:
            if want == "out":
                self._wants.append(("saved", OUT))
            elif want == "i" and primitive.variadic:
                self._wants.append(("i", 0))
            elif want in names:
                at = names.index(want)
                self._wants.append(("saved", at) if at < arrays else ("param", at - arrays))
            elif primitive.variadic and want == f"{names[0]}_shapes":
                self._wants.append(("shapes", 0))
            elif want.endswith("_shape") and want[:-6] in names[:arrays]:
                self._wants.append(("shape", names.index(want[:-6])))
            else:
                raise TypeError(
                    f"{primitive.name}: the rule for {name!r} asks for {want!r}; it may ask for g, out, "
                    f"{', '.join(names)}, or the shape of an array, such as {names[0]}_shape"
                )
        self.saves = frozenset(at for kind, at in self._wants if kind == "saved")

    def pull(self, saves: tuple[int, ...], i: int) -> Pull:
        """The rule as a function of (cotangent, node, saved arrays), ``saves`` telling what is saved where."""
        code: dict[str, Callable[[int], str]] = {
            "saved": lambda at: f"s[{saves.index(at)}]",
            "param": lambda at: f"n.params[{at}]",
            "shape": lambda at: f"n.inputs[{at}].shape",
            "shapes": lambda at: "[x.shape for x in n.inputs]",
            "i": lambda at: str(i),
        }
        arguments = ", ".join(["g", *[code[kind](at) for kind, at in self._wants]])
        return cast(Pull, eval(f"lambda g, n, s: rule({arguments})", {"rule": self.fn}))


class PlannedRule(NamedTuple):
    """A rule of a plan.

    position  that of the argument that it is for
    pull      the rule as a function of cotangent, node and saved arrays
    name      the argument's name
    fresh     whether an array that it returns is nobody else's: so it is with our own rules, not with users'
    """

    position: int
    pull: Pull
    name: str
    fresh: bool


class Plan(NamedTuple):
    """What to record when a certain set of a primitive's arguments needs gradients.

    rules    those of the arguments in the set
    saves    the positions of the arrays that those rules read, ``OUT`` for the result
    save     picks these arrays out of (the arguments, the result)
    guarded  ``saves`` without the result: arrays that others may be able to write to
    """

    rules: tuple[PlannedRule, ...]
    saves: tuple[int, ...]
    save: Callable[[Sequence[Any], Any], tuple[Any, ...]]
    guarded: tuple[int, ...]


class Primitive:
    """A function that is recorded as one node, its arguments' names, and its derivative rules.

    key       the function as users call it: the key of the table
    fn        runs on raw arrays, and on every carrier
    names     the arguments in their order, the arrays first: what a rule may ask for
    bind      turns a call's ``(*args, **kwargs)`` into the tuple of values, one for each name
    arrays    the number of arguments that are arrays
    variadic  the first argument is a sequence of any number of arrays, and the only array argument
    constants the positions of arguments whose derivative is declared to be none
    hint      says what does not fit, from the arrays' names, their shapes and the other arguments
    """

    __slots__ = ("arrays", "bind", "constants", "fn", "hint", "key", "name", "names", "plans", "rules", "variadic")

    def __init__(
        self,
        key: Callable[..., Any],
        signature: str | inspect.Signature,
        fn: Callable[..., Any],
        arrays: int,
        variadic: bool = False,
        name: str | None = None,
    ) -> None:
        self.key = key
        self.name = name or key.__name__
        self.names, self.bind = binder(key, self.name, signature)
        self.fn = fn
        self.arrays = arrays
        self.variadic = variadic
        self.rules: dict[int, Rule] = {}
        self.constants: set[int] = set()
        self.plans: dict[int, Plan] = {}
        self.hint: Hint | None = None

    def plan(self, mask: int) -> Plan:
        """Make, and keep, the plan for the arguments in ``mask``, one bit each.

        Raises ``NotDifferentiableError`` if one of them has no rule.
        """
        needed = [k for k in range(mask.bit_length()) if mask >> k & 1]
        arguments = [(k, 0 if self.variadic else k) for k in needed]
        for _, argument in arguments:
            if argument not in self.rules and argument not in self.constants:
                raise no_rule(self, self.names[argument])
        wanted = [(k, self.rules[argument]) for k, argument in arguments if argument in self.rules]
        saves = tuple(sorted({at for _, rule in wanted for at in rule.saves}))
        code = ["out" if at == OUT else "v" if self.variadic else f"v[{at}]" for at in saves]
        plan = self.plans[mask] = Plan(
            tuple(PlannedRule(k, rule.pull(saves, k), rule.name, is_own(rule.fn)) for k, rule in wanted),
            saves,
            eval(f"lambda v, out: ({''.join(c + ', ' for c in code)})"),
            tuple(at for at in saves if at != OUT),
        )
        return plan

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.names)})>"


def _also_one_by_one(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A user's rule that, where it wants plain arrays and gets some that hide examples, runs for each example."""

    @functools.wraps(fn)
    def run(*args: Any) -> Any:
        try:
            return fn(*args)
        except HiddenAxisError as error:
            return error.carrier.call(run, args)

    return run


def is_own(fn: Callable[..., Any]) -> bool:
    """Whether a function is this package's own, and not a user's."""
    return (fn.__module__ or "").partition(".")[0] == __name__.partition(".")[0]


PRIMITIVES: dict[Callable[..., Any], Primitive] = {}
UNSET: Any = getattr(np, "_NoValue", None)


def declare(
    key: Callable[..., Any],
    signature: str | inspect.Signature,
    fn: Callable[..., Any] | None = None,
    *,
    arrays: int = 1,
    variadic: bool = False,
    name: str | None = None,
) -> Primitive:
    """Enter a primitive into the table, without rules yet.

    ``signature`` lists the arguments that reach ``fn``, the arrays first, with defaults in the manner of Python.
    """
    primitive = Primitive(key, signature, fn or key, arrays, variadic, name)
    PRIMITIVES[key] = primitive
    return primitive


def defvjp(key: Callable[..., Any], /, **rules: Callable[..., Any] | None) -> None:
    """Give a primitive its derivative rules, one for each argument, named as the argument.

    None in the place of a rule says that the argument counts as a constant; an argument that is not mentioned, and
    that requires a gradient, makes a call raise ``NotDifferentiableError``.  Raises ``TypeError`` for a rule that asks
    for something that the call does not have.

    >>> import numpy as np, tinygrad_mb as tg
    >>> @tg.primitive
    ... def cube(x):
    ...     return x * x * x
    >>> tg.defvjp(cube, x=lambda g, x: 3 * g * x * x)
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> cube(x).sum().gradient(x)
    array([ 3., 12.])
    """
    primitive = PRIMITIVES.get(key)
    if primitive is None:
        if not isinstance(key, np.ufunc) or key.nin > 2 or key.nout > 1:
            raise TypeError(f"{key!r} is not a primitive: declare it with @primitive first")
        names = ("x", "y")[: key.nin]
        primitive = declare(key, ", ".join(names), arrays=key.nin)
    arrays = primitive.names[: primitive.arrays]
    for name, fn in rules.items():
        if name not in arrays:
            raise TypeError(f"{primitive.name} has no array argument {name!r}; it has {', '.join(arrays)}")
        position = arrays.index(name)
        primitive.rules.pop(position, None)
        primitive.constants.discard(position)
        if fn is None:
            primitive.constants.add(position)
        else:
            primitive.rules[position] = Rule(fn, name, primitive)
    primitive.plans.clear()


def binder(
    key: Callable[..., Any], name: str, signature: str | inspect.Signature
) -> tuple[tuple[str, ...], Callable[..., tuple[Any, ...]]]:
    """The names in ``signature``, and a function from a call's arguments to their values in that order.

    The order in which arguments may be passed, and the arguments that exist besides, are those of ``key`` itself.
    """
    if isinstance(signature, str):
        signature = inspect.signature(eval(f"lambda {signature}: None"))
    ours = theirs = signature.parameters
    if not isinstance(key, np.ufunc):
        try:
            theirs = inspect.signature(key).parameters
        except ValueError:  # written in C, and silent about its arguments
            theirs = MappingProxyType({})
        if not ours.keys() <= theirs.keys():  # or an older NumPy has another name for one
            theirs = MappingProxyType({**ours, "options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)})
    namespace: dict[str, Any] = {"refuse__": refuse_argument, "unset__": UNSET}
    code, lines = [], []
    for p in theirs.values():
        default = ours.get(p.name, p).default
        if p.kind is p.KEYWORD_ONLY and "*" not in code:
            code.append("*")
        if p.kind is p.VAR_KEYWORD:
            code.append(f"**{p.name}")
            lines.append(f"for k__, v__ in {p.name}.items(): refuse__({name!r}, k__, v__)")
        elif default is p.empty:
            code.append(p.name)
        else:
            namespace[f"_{p.name}"] = default
            code.append(f"{p.name}=_{p.name}")
            if p.name not in ours:
                lines.append(f"{p.name} is _{p.name} or refuse__({name!r}, {p.name!r}, {p.name}, _{p.name})")
            elif p.default is UNSET is not default:
                lines.append(f"if {p.name} is unset__: {p.name} = _{p.name}")
    lines.append(f"return ({''.join(n + ', ' for n in ours)})")
    function = name if name.isidentifier() else "call"  # Python's own messages about wrong arguments name it
    text = f"def {function}({', '.join(code)}):\n    " + "\n    ".join(lines)
    exec(compile(text, f"{__file__}: binder", "exec"), namespace)  # a file of ours, for those who look for the user's
    return tuple(ours), namespace[function]


_SAYS_NOTHING: dict[str, tuple[Any, ...]] = {"where": (True,), "order": ("C", "K", "A")}
_ADVICE = {
    "out": "Tensors are never written into: use the result.",
    "dtype": "Convert with .astype(dtype) before or after.",
    "where": "Use np.where(mask, x, neutral) first.",
    "order": "Use .T or np.transpose to change the order of axes.",
    "correction": "Use ddof=.",
}


def refuse_argument(name: str, argument: str, value: Any, default: Any = None) -> None:
    """Raise ``NotDifferentiableError`` for an argument that Tensors do not support, unless its value says nothing."""
    if value is None or value is UNSET or value is default:
        return
    if isinstance(value, (str, bool)) and (value == default or value in _SAYS_NOTHING.get(argument, ())):
        return
    advice = _ADVICE.get(argument, "Leave it out.")
    text = " ".join(repr(value).split())
    raise NotDifferentiableError(f"{name}: the argument {argument}={text:.60} is not supported on Tensors. {advice}")
