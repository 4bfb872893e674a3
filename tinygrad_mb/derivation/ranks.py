"""How tightly operators hold together, of formulas and of Python: a part with a lower rank needs brackets."""

COMPARE, OR, XOR, AND, SHIFT, SUM, PRODUCT, SIGN, CHAIN, POWER, ATOM = range(11)
