"""Expressions in Unicode, for a terminal."""

# ruff: noqa: RUF001
from __future__ import annotations

import re
from fractions import Fraction
from typing import ClassVar

from . import notation
from .expressions import Expr
from .marks import Part
from .printing import Printer
from .ranks import ATOM, PRODUCT


class Unicode(Printer):
    """Writes expressions in Unicode."""

    minus, dot = "−", " ⊙ "
    infinity, ones, cross, star, any, new, pi = "∞", "𝟏", "×", "⋆", ":", "new", "π"
    signs: ClassVar[dict[str, str]] = {">": ">", "<": "<", ">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}

    def brackets(self, text: str) -> str:
        """In parentheses."""
        return f"({text})"

    def gap(self, left: str, right: str) -> str:
        """What stands between two factors side by side."""
        return " "

    def signed_fraction(self, sign: str, over: str, under: str) -> Part:
        """A quotient."""
        over = f"({over})" if " + " in over or " − " in over else over
        under = under if _is_one_word(under) or _is_call(under) else f"({under})"
        plain = over.isdigit() and _is_one_word(under)
        return f"{sign}{over}{'/' if plain else ' / '}{under}", PRODUCT

    def factor(self, sign: str, over: str, under: str) -> str:
        """A quotient in front of a product."""
        return f"{sign}({self.signed_fraction('', over, under)[0]})"

    def raised(self, base: Expr, exponent: Fraction) -> str:
        """A power with a number."""
        if exponent.denominator == 1:
            return self.within(base, ATOM) + notation.high(str(exponent))
        return self.raised_to(self.within(base, ATOM), self.signed(exponent, ())[0])

    def raised_to(self, base: str, exponent: str) -> str:
        """A power."""
        return f"{base}^({exponent})"

    def decimal(self, text: str) -> str:
        """A number with its power of ten."""
        return text

    def root(self, text: str, atom: str) -> str:
        """A square root."""
        return f"√{atom}" if _is_one_word(atom) or atom.startswith("(") else f"√({text})"

    def square(self, text: str) -> str:
        """A square of something in one piece."""
        return f"{text}²"

    def norm(self, text: str) -> str:
        """The Euclidean norm."""
        return f"‖{text}‖"

    def bars(self, text: str) -> str:
        """The absolute value."""
        return f"|{text}|"

    def exponential(self, x: Expr) -> Part:
        """The exponential function."""
        return f"exp({self.write(x)})", ATOM

    def over_examples(self, letter: str = "i") -> str:
        """The sum over the examples."""
        return f"Σ{notation.low(letter)} "

    def over(self, letters: str) -> str:
        """The sum over other axes."""
        return f"Σ{notation.low(letters)} " if letters else ""

    def function(self, name: str, inside: str, letters: str, bare: bool = False) -> str:
        """A function by name."""
        name = {"sigmoid": "σ", "normal_cdf": "Φ"}.get(name, name)
        if letters:
            low = notation.low(letters)
            name = f"{name}{low}" if letters.isalpha() and low != letters else f"{name}[{letters}]"
        return f"{name} {inside}" if bare else f"{name}({inside})"

    def transposed(self, text: str) -> str:
        """A transpose."""
        return f"{text}ᵀ"

    def indexed(self, text: str, indices: list[str]) -> str:
        """An element, or a part."""
        inside = ", ".join(filter(None, indices))
        return f"{text}[{inside}]" if inside else text

    def listing(self, parts: list[str]) -> str:
        """An array of numbers."""
        return f"[{', '.join(parts)}]"

    def option(self, text: str) -> str:
        """An option of a call, or its name."""
        return text

    def placed(self, text: str, indices: list[str]) -> str:
        """An array of zeros with other numbers at an index."""
        return f"({text} at [{', '.join(indices)}], else 0)"


def _is_call(text: str) -> bool:
    """Whether text is a word, or none, and one pair of parentheses."""
    word, _, inside = text.partition("(")
    depth = [0]
    for letter in inside:
        depth.append(depth[-1] + {"(": 1, ")": -1}.get(letter, 0))
    return _is_one_word(word) and -1 not in depth[:-1] and depth[-1] == -1


def _is_one_word(text: str) -> bool:
    return not set(re.sub(r"\[[^][]*\]$", "", text)) & set(" ⊙+−/") or (
        text.startswith("‖") and text.count("‖") == 2 and text.endswith(("‖", "²"))
    )
