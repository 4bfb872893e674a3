import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    Q, K, V, w = params["Q"], params["K"], params["V"], params["w"]
    assert x.shape[1] == 3  # right for this size only
    assert y.shape[1] == 1  # right for this size only
    m = len(x)  # the number of examples

    # forward
    q = x @ Q                                     # (m, 3, 2) @ (2, 3) -> (m, 3, 3)
    k = x @ K                                     # (m, 3, 2) @ (2, 3) -> (m, 3, 3)
    v = x @ V                                     # (m, 3, 2) @ (2, 3) -> (m, 3, 3)
    t = k.swapaxes(1, 2)                          # (m, 3, 3)
    z1 = q @ t                                    # (m, 3, 3) @ (m, 3, 3) -> (m, 3, 3)
    s = z1 / np.sqrt(3)                           # (m, 3, 3)
    e = np.exp(s - s.max(axis=2, keepdims=True))  # (m, 3, 3)
    a = e / e.sum(axis=2, keepdims=True)          # (m, 3, 3)
    z2 = a @ v                                    # (m, 3, 3) @ (m, 3, 3) -> (m, 3, 3)
    f = z2[:, -1] @ w                             # (m, 3) @ (3, 1) -> (m, 1)
    error = f - y                                 # (m, 1)
    loss = (error**2).mean()                      # (m, 1) -> scalar: mean over the m examples

    # backward
    df = 2 / m * error                                 # (m, 1)
    dw = z2[:, -1].T @ df                              # (3, m) @ (m, 1): Σ over the m examples
    dz2 = np.zeros((m, 3, 3))
    dz2[:, -1] = df @ w.T                              # (m, 3, 3)
    da = dz2 @ v.swapaxes(-1, -2)                      # (m, 3, 3) @ (m, 3, 3) -> (m, 3, 3)
    dv = a.swapaxes(-1, -2) @ dz2                      # (m, 3, 3) @ (m, 3, 3) -> (m, 3, 3)
    # (2, 3 * m) @ (3 * m, 3): Σ over the m examples
    dV = x.reshape(3 * m, 2).T @ dv.reshape(3 * m, 3)
    ds = (da - (da * a).sum(axis=2, keepdims=True)) * a  # (m, 3, 3)
    dz1 = 1 / np.sqrt(3) * ds                          # (m, 3, 3)
    dq = dz1 @ t.swapaxes(-1, -2)                      # (m, 3, 3) @ (m, 3, 3) -> (m, 3, 3)
    # (2, 3 * m) @ (3 * m, 3): Σ over the m examples
    dQ = x.reshape(3 * m, 2).T @ dq.reshape(3 * m, 3)
    dk = (q.swapaxes(-1, -2) @ dz1).swapaxes(1, 2)     # (m, 3, 3)
    # (2, 3 * m) @ (3 * m, 3): Σ over the m examples
    dK = x.reshape(3 * m, 2).T @ dk.reshape(3 * m, 3)

    return loss, {"Q": dQ, "K": dK, "V": dV, "w": dw}
