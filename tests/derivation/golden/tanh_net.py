import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    m = len(x)  # the number of examples

    # forward
    z1 = x @ W1.T + b1       # (m, 4)
    h = np.tanh(z1)          # (m, 4)
    z2 = h @ W2.T + b2       # (m, 1)
    f = z2[:, 0]             # (m,)
    error = f - y            # (m,)
    losses = 0.5 * error**2  # (m,)
    loss = losses.mean()     # (m,) -> scalar: mean over the m examples

    # backward
    df = error / m          # (m,)
    dz2 = df[:, None]       # (m, 1)
    dW2 = dz2.T @ h         # (1, m) @ (m, 4): Σ over the m examples
    db2 = dz2.sum(axis=0)   # (m, 1) -> (1,): Σ over the m examples
    dh = dz2 @ W2           # (m, 1) @ (1, 4) -> (m, 4)
    dz1 = dh * (1 - h * h)  # (m, 4)
    dW1 = dz1.T @ x         # (4, m) @ (m, 2): Σ over the m examples
    db1 = dz1.sum(axis=0)   # (m, 4) -> (4,): Σ over the m examples

    return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
