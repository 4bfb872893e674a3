import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W1, b1, w2 = params["W1"], params["b1"], params["w2"]
    m = len(x)  # the number of examples

    # forward
    z1 = x @ W1 + b1                         # (m, 4)
    h = np.tanh(z1)                          # (m, 4)
    z2 = h @ w2                              # (m, 4) @ (4,) -> (m,)
    error = z2 - y                           # (m,)
    data_loss = (error**2).mean()            # (m,) -> scalar: mean over the m examples
    penalty = (W1**2).sum() + (w2**2).sum()  # scalar
    loss = data_loss + 0.01 * penalty        # scalar

    # backward
    dz2 = 2 / m * error          # (m,)
    dw2 = 0.02 * w2 + h.T @ dz2  # (4,): Σ over the m examples
    dh = dz2[:, None] * w2       # (m, 4)
    dz1 = dh * (1 - h * h)       # (m, 4)
    dW1 = 0.02 * W1 + x.T @ dz1  # (2, 4): Σ over the m examples
    db1 = dz1.sum(axis=0)        # (m, 4) -> (4,): Σ over the m examples

    return loss, {"W1": dW1, "b1": db1, "w2": dw2}
