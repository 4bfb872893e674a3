import numpy as np


def gradients(params, user, item, rating):
    """The loss, and its gradient by each parameter."""
    U, V, c = params["U"], params["V"], params["c"]
    m = len(user)  # the number of examples

    # forward
    t = U[user]                                  # (m, 3)
    t2 = V[item]                                 # (m, 3)
    prediction = (t * t2).sum(axis=1) + c[user]  # (m,)
    penalty = (U**2).sum() + (V**2).sum()        # scalar
    error = prediction - rating                  # (m,)
    loss = (error**2).mean() + 0.1 * penalty     # scalar: mean over the m examples

    # backward
    dprediction = 2 / m * error                     # (m,)
    dc = np.zeros((5,))
    np.add.at(dc, user, dprediction)                # (5,): Σ over the m examples
    g = np.zeros((4, 3))
    np.add.at(g, item, dprediction[:, None] * t)    # (4, 3): Σ over the m examples
    dV = 0.2 * V + g                                # (4, 3)
    g2 = np.zeros((5, 3))
    np.add.at(g2, user, dprediction[:, None] * t2)  # (5, 3): Σ over the m examples
    dU = 0.2 * U + g2                               # (5, 3)

    return loss, {"U": dU, "V": dV, "c": dc}
