import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    w, b = params["w"], params["b"]
    m = len(x)  # the number of examples

    # forward
    z = x @ w + b         # (m,)
    e = np.exp(-z)        # (m,)
    t = 1 + e             # (m,)
    p = 1 / t             # (m,)
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))  # (m,)
    loss = losses.mean()  # (m,) -> scalar: mean over the m examples

    # backward
    dp = (1 - y) / m / (1 - p) - y / m / p  # (m,)
    dz = dp * p / t * e                     # (m,)
    dw = x.T @ dz                           # (2, m) @ (m,): Σ over the m examples
    db = dz.sum()                           # (m,) -> scalar: Σ over the m examples

    return loss, {"w": dw, "b": db}
