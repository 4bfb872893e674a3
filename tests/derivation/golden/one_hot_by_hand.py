import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    m = len(x)  # the number of examples

    # forward
    z1 = x @ W1 + b1                      # (m, 4)
    h = np.maximum(0, z1)                 # (m, 4)
    z = h @ W2 + b2                       # (m, 3)
    e = np.exp(z)                         # (m, 3)
    p = e / e.sum(axis=1, keepdims=True)  # (m, 3)
    Y = np.eye(3)[y]                      # (m, 3)
    loss = -((Y * np.log(p)).sum() / m)   # scalar: Σ over the m examples

    # backward
    dz = (p - Y) / m                         # (m, 3)
    dW2 = h.T @ dz                           # (4, m) @ (m, 3): Σ over the m examples
    db2 = dz.sum(axis=0)                     # (m, 3) -> (3,): Σ over the m examples
    dh = dz @ W2.T                           # (m, 3) @ (3, 4) -> (m, 4)
    dz1 = dh * ((z1 > 0) + 0.5 * (z1 == 0))  # (m, 4): ties share
    dW1 = x.T @ dz1                          # (2, m) @ (m, 4): Σ over the m examples
    db1 = dz1.sum(axis=0)                    # (m, 4) -> (4,): Σ over the m examples

    return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
