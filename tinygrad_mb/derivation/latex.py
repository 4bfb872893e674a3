"""Expressions in LaTeX, in the part of it that every engine for web pages knows."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from . import notation
from .expressions import Expr
from .marks import Part
from .printing import Printer
from .ranks import ATOM, POWER, PRODUCT


class Latex(Printer):
    """Writes expressions in LaTeX."""

    minus, dot = "-", r" \odot "
    infinity, ones, cross, star, any = r"\infty", r"\mathbf{1}", r" \times ", r"\star", r"\cdot"
    new, pi = r"\text{new}", r"\pi"
    signs: ClassVar[dict[str, str]] = {">": ">", "<": "<", ">=": r"\ge", "<=": r"\le", "==": "=", "!=": r"\ne"}
    known = frozenset(["tanh", "sinh", "cosh", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "log", "max", "min"])

    def brackets(self, text: str) -> str:
        """In parentheses that are as tall as what they hold."""
        tall = any(word in text for word in (r"\frac", r"\sum", r"\sqrt", r"^{\top}"))
        return rf"\left({text}\right)" if tall else f"({text})"

    def gap(self, left: str, right: str) -> str:
        """What stands between two factors side by side: a thin space where one of them is a word."""
        words = (r"\mathrm", r"\operatorname", r"\text", r"\log")
        tight = not any(word in left[-40:] or right.startswith(word) for word in words)
        if tight and right[:1].isdigit():
            return r" \cdot "
        return " " if tight else r" \, "

    def signed_fraction(self, sign: str, over: str, under: str) -> Part:
        """A fraction."""
        return rf"{sign}\frac{{{over}}}{{{under}}}", PRODUCT

    def factor(self, sign: str, over: str, under: str) -> str:
        """A quotient in front of a product."""
        return self.signed_fraction(sign, over, under)[0]

    def raised(self, base: Expr, exponent: Fraction) -> str:
        """A power with a number."""
        return self.raised_to(self.within(base, ATOM), self.signed(exponent, ())[0])

    def raised_to(self, base: str, exponent: str) -> str:
        """A power."""
        return f"{base}^{exponent}" if len(exponent) == 1 else f"{base}^{{{exponent}}}"

    def decimal(self, text: str) -> str:
        """A number with its power of ten."""
        mantissa, _, exponent = text.partition("e")
        times = "" if mantissa == "1" else rf"{mantissa} \cdot "
        return f"{times}10^{{{exponent}}}" if exponent else text

    def root(self, text: str, atom: str) -> str:
        """A square root."""
        return rf"\sqrt{{{text}}}"

    def square(self, text: str) -> str:
        """A square of something in one piece."""
        return f"{text}^2"

    def norm(self, text: str) -> str:
        """The Euclidean norm."""
        return rf"\lVert {text} \rVert"

    def bars(self, text: str) -> str:
        """The absolute value."""
        return rf"\lvert {text} \rvert"

    def exponential(self, x: Expr) -> Part:
        """The exponential function."""
        return f"e^{{{self.write(x)}}}", POWER

    def over_examples(self, letter: str = "i") -> str:
        """The sum over the examples."""
        return rf"\sum_{{{letter}=1}}^{{m}} "

    def over(self, letters: str) -> str:
        """The sum over other axes."""
        return rf"\sum_{{{','.join(letters)}}} " if letters else ""

    def function(self, name: str, inside: str, letters: str, bare: bool = False) -> str:
        """A function by name."""
        symbol = {"sigmoid": r"\sigma", "normal_cdf": r"\Phi"}.get(name)
        if symbol is None:
            symbol = "\\" + name if name in self.known else rf"\operatorname{{{name.replace('_', ' ')}}}"
        symbol += rf"_{{{letters}}}" if letters else ""
        return f"{symbol} {inside}" if bare else symbol + self.brackets(inside)

    def transposed(self, text: str) -> str:
        """A transpose."""
        return rf"{text}^{{\top}}" if not text.endswith("}") or "^" not in text else rf"{{{text}}}^{{\top}}"

    def indexed(self, text: str, indices: list[str]) -> str:
        """An element, or a part."""
        low = notation.subscript(indices)
        return (
            text
            if not low
            else rf"{{{text}}}{low}"
            if "_" in text and not text.startswith((r"\left", "("))
            else text + low
        )

    def listing(self, parts: list[str]) -> str:
        """An array of numbers."""
        return f"[{', '.join(parts)}]"

    def option(self, text: str) -> str:
        """An option of a call, or its name."""
        return text if text.removeprefix("-").isdigit() else notation.escaped(text)

    def placed(self, text: str, indices: list[str]) -> str:
        """An array of zeros with other numbers at an index."""
        return self.brackets(rf"{text} \text{{ at }} [{', '.join(indices)}], \text{{ else }} 0")
