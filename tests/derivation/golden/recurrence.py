import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W, U, b, v = params["W"], params["U"], params["b"], params["v"]
    assert x.shape[1] == 3  # one by one below
    m = len(x)  # the number of examples

    # forward
    z1 = x[:, 0] @ U + b                 # (m, 3)
    h1 = np.tanh(z1)                     # (m, 3)
    z2 = x[:, 1] @ U + h1 @ W + b        # (m, 3)
    h2 = np.tanh(z2)                     # (m, 3)
    z3 = x[:, 2] @ U + h2 @ W + b        # (m, 3)
    h3 = np.tanh(z3)                     # (m, 3)
    f = h3 @ v                           # (m, 3) @ (3, 1) -> (m, 1)
    error = f - y                        # (m, 1)
    losses = (error * error).reshape(m)  # (m,)
    loss = losses.mean()                 # (m,) -> scalar: mean over the m examples

    # backward
    df = 2 / m * error            # (m, 1)
    dv = h3.T @ df                # (3, m) @ (m, 1): Σ over the m examples
    dh3 = df @ v.T                # (m, 1) @ (1, 3) -> (m, 3)
    dz3 = dh3 * (1 - h3 * h3)     # (m, 3)
    dh2 = dz3 @ W.T               # (m, 3) @ (3, 3) -> (m, 3)
    dz2 = dh2 * (1 - h2 * h2)     # (m, 3)
    dW = h2.T @ dz3 + h1.T @ dz2  # (3, 3): Σ over the m examples
    dh1 = dz2 @ W.T               # (m, 3) @ (3, 3) -> (m, 3)
    dz1 = dh1 * (1 - h1 * h1)     # (m, 3)
    dU = x[:, 2].T @ dz3 + x[:, 1].T @ dz2 + x[:, 0].T @ dz1  # (2, 3): Σ over the m examples
    db = dz3.sum(axis=0) + dz2.sum(axis=0) + dz1.sum(axis=0)  # (3,): Σ over the m examples

    return loss, {"W": dW, "U": dU, "b": db, "v": dv}
