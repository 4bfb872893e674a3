"""What the signs of mathematics look like, which LaTeX and Unicode each say in their own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import ClassVar

from .expressions import Expr
from .notation import fraction, roots

Part = tuple[str, int]  # a text, and how tightly it holds together


class Marks(ABC):
    """The signs, and the forms that are not the same everywhere."""

    minus: str
    dot: str
    infinity: str
    ones: str
    cross: str
    star: str
    any: str
    new: str
    pi: str
    signs: ClassVar[dict[str, str]]

    @abstractmethod
    def brackets(self, text: str) -> str:
        """In parentheses."""

    @abstractmethod
    def gap(self, left: str, right: str) -> str:
        """What stands between two factors side by side."""

    @abstractmethod
    def signed_fraction(self, sign: str, over: str, under: str) -> Part:
        """A quotient."""

    @abstractmethod
    def factor(self, sign: str, over: str, under: str) -> str:
        """A quotient in front of a product."""

    @abstractmethod
    def raised(self, base: Expr, exponent: Fraction) -> str:
        """A power with a number."""

    @abstractmethod
    def raised_to(self, base: str, exponent: str) -> str:
        """A power."""

    @abstractmethod
    def decimal(self, text: str) -> str:
        """A number with its power of ten."""

    @abstractmethod
    def root(self, text: str, atom: str) -> str:
        """A square root, of text as it is and as one piece."""

    @abstractmethod
    def square(self, text: str) -> str:
        """A square of something in one piece."""

    @abstractmethod
    def norm(self, text: str) -> str:
        """The Euclidean norm."""

    @abstractmethod
    def bars(self, text: str) -> str:
        """The absolute value."""

    @abstractmethod
    def exponential(self, x: Expr) -> Part:
        """The exponential function."""

    @abstractmethod
    def over_examples(self, letter: str = "i") -> str:
        """The sum over the examples."""

    @abstractmethod
    def over(self, letters: str) -> str:
        """The sum over other axes."""

    @abstractmethod
    def function(self, name: str, inside: str, letters: str, bare: bool = False) -> str:
        """A function by name, with letters or sizes that say along what."""

    @abstractmethod
    def transposed(self, text: str) -> str:
        """A transpose."""

    @abstractmethod
    def indexed(self, text: str, indices: list[str]) -> str:
        """An element, or a part."""

    @abstractmethod
    def listing(self, parts: list[str]) -> str:
        """An array of numbers."""

    @abstractmethod
    def option(self, text: str) -> str:
        """An option of a call, or its name."""

    @abstractmethod
    def placed(self, text: str, indices: list[str]) -> str:
        """An array of zeros with other numbers at an index."""

    def quotient(self, value: Fraction) -> tuple[str, str]:
        """A number that is not negative as numerator and denominator, "" for one: a fraction, a quotient of roots."""
        found = roots(value)
        if found is None:
            top, bottom = fraction(value)
            return self.decimal(top), bottom
        return self._with_root(found.a, found.p, ""), self._with_root(found.b, found.q, self.pi if found.has_pi else "")

    def _with_root(self, front: int, inside: int, pi: str) -> str:
        under = " ".join([str(inside)] * (inside != 1) + [pi] * bool(pi))
        return " ".join([str(front)] * (front != 1) + [self.root(under, under)] * bool(under))
