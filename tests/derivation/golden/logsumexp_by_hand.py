import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W, b = params["W"], params["b"]
    m = len(x)  # the number of examples

    # forward
    z = x @ W + b                            # (m, 3)
    top = z.max(axis=1)                      # (m,)
    e = np.exp(z - top[:, None])             # (m, 3)
    total = e.sum(axis=1)                    # (m, 3) -> (m,)
    logsumexp = np.log(total) + top          # (m,)
    losses = logsumexp - z[np.arange(m), y]  # (m,)
    loss = losses.mean()                     # (m,) -> scalar: mean over the m examples

    # backward
    p = e / total[:, None]                       # (m, 3)
    dz = (p - (y[:, None] == np.arange(3))) / m  # (m, 3)
    dW = x.T @ dz                                # (2, m) @ (m, 3): Σ over the m examples
    db = dz.sum(axis=0)                          # (m, 3) -> (3,): Σ over the m examples

    return loss, {"W": dW, "b": db}
