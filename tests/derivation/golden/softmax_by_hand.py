import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W, b = params["W"], params["b"]
    m = len(x)  # the number of examples

    # forward
    z = x @ W + b                                 # (m, 3)
    e = np.exp(z - z.max(axis=1, keepdims=True))  # (m, 3)
    p = e / e.sum(axis=1, keepdims=True)          # (m, 3)
    loss = -np.log(p[np.arange(m), y]).mean()     # scalar: mean over the m examples

    # backward
    dz = (p - (y[:, None] == np.arange(3))) / m  # (m, 3)
    dW = x.T @ dz                                # (2, m) @ (m, 3): Σ over the m examples
    db = dz.sum(axis=0)                          # (m, 3) -> (3,): Σ over the m examples

    return loss, {"W": dW, "b": db}
