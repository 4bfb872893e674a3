"""All models with their derivations by hand in plain NumPy, and every mistake that a person can make in them."""

from __future__ import annotations

from checking.linear_models import LINEAR
from checking.making import Model
from checking.masked_models import MASKED
from checking.network_models import NETWORKS
from checking.sequence_models import SEQUENCES

MODELS: list[Model] = [*LINEAR, *NETWORKS, *SEQUENCES, *MASKED]

# Two mistakes at once: a missing factor, and something else that is wrong.
MIXTURES = {
    "one hidden layer": (("1", "7 h"), ("5", "8 argument h"), ("4 doubled", "18"), ("1", "5")),
    "softmax, two hidden layers of tanh": (
        ("1", "7 h1"), ("5", "12 transposed"), ("1", "10 first b1"), ("1", "10 rows b2"), ("7 h1", "8 argument h2"),
        ("9 once more", "7 h1"), ("2", "12 shape"), ("2", "6 products"), ("7 h2", "12 order")),
    "recurrence with shared weights": (("1", "19 all"), ("7 h", "12 order"), ("5", "19 W")),
    "regularised": (("1", "13 forgotten"), ("7 h", "13 forgotten"), ("5", "13 bias"), ("1", "13 doubled")),
    "batch norm": (("1", "17 both"), ("5", "17 mean"), ("17 variance", "7 h")),
    "masked": (("1", "7 h"), ("24 mask", "5")),
    "dropout and leaky relu": (("1", "24 mask"), ("23", "5"), ("25", "1")),
    "padded series": (("1", "3 mean"), ("24", "7 h")),
    "gated recurrence": (("1", "7 gate"), ("5", "19 overwritten")),
    "attention": (("1", "22 scale"), ("5", "9 diagonal")),
    "elastic net": (("5", "13 bias"), ("1", "13 first")),
}  # fmt: skip
