import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    W1, gamma, beta = params["W1"], params["gamma"], params["beta"]
    w2 = params["w2"]
    m = len(x)  # the number of examples

    # forward
    z = x @ W1                    # (m, 2) @ (2, 4) -> (m, 4)
    centred = z - z.mean(axis=0)  # (m, 4): mean over the m examples
    sigma = np.sqrt((centred**2).mean(axis=0) + 1e-05)  # (4,): mean over the m examples
    normed = centred / sigma      # (m, 4)
    z1 = normed * gamma + beta    # (m, 4)
    h = np.tanh(z1)               # (m, 4)
    z2 = h @ w2                   # (m, 4) @ (4,) -> (m,)
    error = z2 - y                # (m,)
    loss = (error**2).mean()      # (m,) -> scalar: mean over the m examples

    # backward
    dz2 = 2 / m * error                               # (m,)
    dw2 = h.T @ dz2                                   # (4, m) @ (m,): Σ over the m examples
    dh = dz2[:, None] * w2                            # (m, 4)
    dz1 = dh * (1 - h * h)                            # (m, 4)
    dgamma = (dz1 * normed).sum(axis=0)               # (m, 4) -> (4,): Σ over the m examples
    dbeta = dz1.sum(axis=0)                           # (m, 4) -> (4,): Σ over the m examples
    dnormed = dz1 * gamma                             # (m, 4)
    dsigma = -(dnormed * normed / sigma).sum(axis=0)  # (4,): Σ over the m examples
    dcentred = dnormed / sigma + dsigma / m / sigma * centred  # (m, 4)
    dz = dcentred - dcentred.sum(axis=0) / m          # (m, 4): Σ over the m examples
    dW1 = x.T @ dz                                    # (2, m) @ (m, 4): Σ over the m examples

    return loss, {"W1": dW1, "gamma": dgamma, "beta": dbeta, "w2": dw2}
