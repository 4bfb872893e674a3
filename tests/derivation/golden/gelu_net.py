import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W, b, v = params["W"], params["b"], params["v"]
    m = len(x)  # the number of examples

    # forward
    z = x @ W + b                 # (m, 4)
    z1 = z + 0.044715 * z**3      # (m, 4)
    z2 = np.sqrt(2 / np.pi) * z1  # (m, 4)
    t = np.tanh(z2)               # (m, 4)
    t2 = 0.5 * z                  # (m, 4)
    h = t2 * (1 + t)              # (m, 4)
    z3 = h @ v                    # (m, 4) @ (4,) -> (m,)
    error = z3 - y                # (m,)
    loss = (error**2).mean()      # (m,) -> scalar: mean over the m examples

    # backward
    dz3 = 2 / m * error             # (m,)
    dv = h.T @ dz3                  # (4, m) @ (m,): Σ over the m examples
    dh = dz3[:, None] * v           # (m, 4)
    dt = dh * t2                    # (m, 4)
    dz2 = dt * (1 - t * t)          # (m, 4)
    dz1 = np.sqrt(2 / np.pi) * dz2  # (m, 4)
    dz = 0.5 * (dh * (1 + t)) + dz1 + 0.134145 * dz1 * z**2  # (m, 4)
    dW = x.T @ dz                   # (2, m) @ (m, 4): Σ over the m examples
    db = dz.sum(axis=0)             # (m, 4) -> (4,): Σ over the m examples

    return loss, {"W": dW, "b": db, "v": dv}
