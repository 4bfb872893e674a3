"""A hidden layer of tanh with the mean of the squared errors: the gradients as derived by hand.

``tinygrad-mb check my_derivation.py`` compares them with those of the engine, and says what is wrong with them;
``tinygrad-mb derive my_derivation.py`` prints the derivation of ``loss``.
"""

import numpy as np

rng = np.random.default_rng(0)
x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
params = {
    "W1": rng.normal(size=(3, 7)),
    "b1": rng.normal(size=7),
    "W2": rng.normal(size=(7, 2)),
    "b2": rng.normal(size=2),
}


def loss(params, x, y):
    """The mean over the examples of half the squared distance."""
    h = np.tanh(x @ params["W1"] + params["b1"])
    f = h @ params["W2"] + params["b2"]
    return 0.5 * np.square(f - y).sum(axis=1).mean()


def hand_gradients(params, x, y):
    """What was derived on paper."""
    h = np.tanh(x @ params["W1"] + params["b1"])
    f = h @ params["W2"] + params["b2"]
    df = (f - y) / len(x)
    dz = df @ params["W2"].T * (1 - h**2)
    return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ df, "b2": df.sum(axis=0)}
