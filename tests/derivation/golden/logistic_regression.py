import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    w, b = params["w"], params["b"]
    m = len(x)  # the number of examples

    # forward
    z = x @ w + b             # (m,)
    p = 1 / (1 + np.exp(-z))  # (m,)
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))  # (m,)
    loss = losses.mean()      # (m,) -> scalar: mean over the m examples

    # backward
    dz = (p - y) / m  # (m,)
    dw = x.T @ dz     # (2, m) @ (m,): Σ over the m examples
    db = dz.sum()     # (m,) -> scalar: Σ over the m examples

    return loss, {"w": dw, "b": db}
