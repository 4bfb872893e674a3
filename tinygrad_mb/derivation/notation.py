"""How names are written in mathematics: W1 is W with an index, alpha a Greek letter, anything else upright."""

# ruff: noqa: RUF001
from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import NamedTuple

# fmt: off
_LETTERS = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Phi", "Psi", "Omega",
)
# fmt: on
GREEK = dict(zip(_LETTERS, "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", strict=True))
_SPELT = {symbol: name for name, symbol in GREEK.items()} | {"ℓ": "ell"}
_ACCENTS = {"hat": "hat", "bar": "bar", "tilde": "tilde"}
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip
SUBSCRIPTED = "₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₗₙ"
_SUBSCRIPTS = str.maketrans("0123456789ijkln", SUBSCRIPTED)
_SUPERSCRIPTS = str.maketrans("0123456789-/()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᐟ⁽⁾")


def escaped(text: str) -> str:
    r"""Any text as LaTeX's ``\text``."""
    return r"\text{" + "".join(_ESCAPES.get(letter, letter if letter.isprintable() else "?") for letter in text) + "}"


def _symbol(piece: str) -> str | None:
    """One letter, a Greek letter or a number; None for anything longer."""
    if re.fullmatch(r"[A-Za-z]|[0-9]+", piece):
        return piece
    if piece == "lam":
        return r"\lambda"
    if piece == "ell" or piece in GREEK:
        return "\\" + piece
    return "\\" + _SPELT[piece] if piece in _SPELT else None


def _word(piece: str) -> str:
    return _symbol(piece) or (rf"\mathrm{{{piece}}}" if re.fullmatch(r"[A-Za-z0-9]+", piece) else escaped(piece))


def latex_name(name: str, *more: str) -> str:
    r"""A user's name in LaTeX, with further indices if there are any.

    >>> latex_name("W1"), latex_name("b_h"), latex_name("alpha"), latex_name("y_hat"), latex_name("gain", "i")
    ('W_1', 'b_h', '\\alpha', '\\hat y', '\\mathrm{gain}_i')
    >>> latex_name("h2", "i", "j"), latex_name("data_loss")
    ('h_{2,ij}', '\\text{data\\_loss}')
    """
    head, below = _parts(name)
    accent = next((piece for piece in below if piece in _ACCENTS), "")
    if accent:
        below.remove(accent)
    elif _symbol(head) is None:
        accent = next((a for a in _ACCENTS if head.endswith(a) and _symbol(head.removesuffix(a))), "")
        head = head.removesuffix(accent)
    base = rf"\{accent} {_word(head)}" if accent else _word(head)
    shown = [piece if re.fullmatch(r"[a-z]{2}", piece) and piece not in GREEK else _word(piece) for piece in below]
    return base + subscript([*shown, *more])


def _parts(name: str) -> tuple[str, list[str]]:
    """A name as the symbol and what stands below it; words that are joined by underscores are one name."""
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        return name, []
    head, *below = re.split(r"[_.]", name)
    numbered = re.fullmatch(r"(\D+?)(\d+)", head)
    if numbered:
        head, below = numbered[1], [numbered[2], *below]
    letters = _symbol(head) is not None and head and all(below)
    if letters or all(_symbol(piece) and len(piece) < 3 for piece in below):
        return head, below
    return name, []


def subscript(indices: list[str]) -> str:
    """Indices below a symbol, in LaTeX; letters that count stand together."""
    indices = [index for index in indices if index]
    if not indices:
        return ""
    text = ",".join(indices)
    while (together := re.sub(r"(^|,)([i-n]+),([i-n])(?=,|$)", r"\1\2\3", text)) != text:
        text = together
    return f"_{text}" if len(text) == 1 else f"_{{{text}}}"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape, with m for the number of examples."""
    if not shape:
        return "scalar"
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def low(text: str) -> str:
    """Letters and digits below the line, in Unicode, where it has them."""
    return text.translate(_SUBSCRIPTS)


def high(text: str) -> str:
    """Numbers above the line, in Unicode."""
    return text.translate(_SUPERSCRIPTS)


_ROUNDING = 2e-15  # what a few roundings leave of a number


def fraction(value: Fraction) -> tuple[str, str]:
    """A number that is not negative as numerator and denominator; "" for one."""
    near = value.limit_denominator(1000)
    if near and math.isclose(near, value, rel_tol=_ROUNDING) and not _ends(near.denominator):
        value = near
    top, bottom = value.numerator, value.denominator
    small = bottom < 1000 and ((bottom % 5 and top < 10) or (top < 1000 and not _ends(bottom)))
    if bottom in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13) or small:
        return (str(top) if top != 1 else ""), (str(bottom) if bottom != 1 else "")
    return _decimal(float(value)), ""


def _ends(bottom: int) -> bool:
    """Whether the decimals of a fraction with this denominator end."""
    return (10**20) % bottom == 0


class Roots(NamedTuple):
    """``a * sqrt(p) / (b * sqrt(q))``, or with ``q * pi`` for q; p and q have no squares in them."""

    a: int
    p: int
    b: int
    q: int
    has_pi: bool


def roots(value: Fraction) -> Roots | None:
    """A number with many digits as the quotient of roots that it is; None if it is none."""
    square = float(value) ** 2
    if len(_decimal(float(value)).replace(".", "").lstrip("0")) < 11 or not 1e-6 < square < 1e6:
        return None
    for has_pi, wanted in ((False, square), (True, square * math.pi)):
        near = Fraction(wanted).limit_denominator(10_000)
        if near and near.numerator < 1000 and math.isclose(near, wanted, rel_tol=_ROUNDING):
            return Roots(*_without_square(near.numerator), *_without_square(near.denominator), has_pi)
    return None


def _without_square(n: int) -> tuple[int, int]:
    """A number as a² p, with the largest a there is: (a, p)."""
    a = next(a for a in range(math.isqrt(n), 0, -1) if n % a**2 == 0)
    return a, n // a**2


def _decimal(value: float) -> str:
    """A number in as few digits as tell it."""
    text = f"{value:.12g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text
