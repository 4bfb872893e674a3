import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    W3, b3 = params["W3"], params["b3"]
    m = len(x)  # the number of examples

    # forward
    z1 = x @ W1 + b1                              # (m, 4)
    h1 = np.maximum(z1, 0)                        # (m, 4)
    z2 = h1 @ W2 + b2                             # (m, 5)
    h2 = np.tanh(z2)                              # (m, 5)
    z3 = h2 @ W3 + b3                             # (m, 3)
    shifted = z3 - z3.max(axis=1, keepdims=True)  # (m, 3)
    e = np.exp(shifted)                           # (m, 3)
    total = e.sum(axis=1, keepdims=True)          # (m, 3) -> (m, 1)
    losses = np.log(total[:, 0]) - shifted[np.arange(m), y]  # (m,)
    loss = losses.mean()                          # (m,) -> scalar: mean over the m examples

    # backward
    p = e / total                                 # (m, 3)
    dz3 = (p - (y[:, None] == np.arange(3))) / m  # (m, 3)
    dW3 = h2.T @ dz3                              # (5, m) @ (m, 3): Σ over the m examples
    db3 = dz3.sum(axis=0)                         # (m, 3) -> (3,): Σ over the m examples
    dh2 = dz3 @ W3.T                              # (m, 3) @ (3, 5) -> (m, 5)
    dz2 = dh2 * (1 - h2 * h2)                     # (m, 5)
    dW2 = h1.T @ dz2                              # (4, m) @ (m, 5): Σ over the m examples
    db2 = dz2.sum(axis=0)                         # (m, 5) -> (5,): Σ over the m examples
    dh1 = dz2 @ W2.T                              # (m, 5) @ (5, 4) -> (m, 4)
    dz1 = dh1 * (h1 > 0)                          # (m, 4)
    dW1 = x.T @ dz1                               # (2, m) @ (m, 4): Σ over the m examples
    db1 = dz1.sum(axis=0)                         # (m, 4) -> (4,): Σ over the m examples

    return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
