import numpy as np


def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    K, b, W, c = params["K"], params["b"], params["W"], params["c"]
    assert x.shape[2] == 6  # right for this size only
    assert x.shape[3] == 6  # right for this size only
    m = len(x)  # the number of examples

    # forward
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    windows = windows.transpose(0, 1, 4, 5, 2, 3).reshape(m, 1, 9, 16)  # (m, 1, 9, 16)
    t = windows.reshape(m, 9, 16)                  # (m, 9, 16)
    z = (K.reshape(2, 9) @ t).reshape(m, 2, 4, 4) + b[:, None, None]  # (m, 2, 4, 4)
    h = np.maximum(z, 0)                           # (m, 2, 4, 4)
    t2 = h[..., 0:4:2, 0:4:2]                      # (m, 2, 2, 2)
    t3 = h[..., 0:4:2, 1:5:2]                      # (m, 2, 2, 2)
    t4 = np.maximum(np.maximum(t2, t3), h[..., 1:5:2, 0:4:2])  # (m, 2, 2, 2)
    pooled = np.maximum(t4, h[..., 1:5:2, 1:5:2])  # (m, 2, 2, 2)
    flat = pooled.reshape(m, 8)                    # (m, 8)
    logits = flat @ W + c                          # (m, 3)
    shifted = logits - logits.max(axis=1, keepdims=True)  # (m, 3)
    e = np.exp(shifted)                            # (m, 3)
    total = e.sum(axis=1, keepdims=True)           # (m, 3) -> (m, 1)
    losses = np.log(total[:, 0]) - shifted[np.arange(m), y]  # (m,)
    loss = losses.mean()                           # (m,) -> scalar: mean over the m examples

    # backward
    p = e / total                                     # (m, 3)
    dlogits = (p - (y[:, None] == np.arange(3))) / m  # (m, 3)
    dW = flat.T @ dlogits                             # (8, m) @ (m, 3): Σ over the m examples
    dc = dlogits.sum(axis=0)                          # (m, 3) -> (3,): Σ over the m examples
    dflat = dlogits @ W.T                             # (m, 3) @ (3, 8) -> (m, 8)
    dpooled = dflat.reshape(m, 2, 2, 2)               # (m, 2, 2, 2)
    windows2 = np.lib.stride_tricks.sliding_window_view(h, (2, 2), axis=(2, 3))[:, :, ::2, ::2]
    windows2 = windows2.transpose(0, 1, 4, 5, 2, 3).reshape(m, 2, 4, 4)  # (m, 2, 4, 4)
    g = (windows2 == pooled.reshape(m, 2, 1, 4)).astype(float)  # (m, 2, 4, 4)
    g3 = dpooled.reshape(m, 2, 1, 4)                  # (m, 2, 1, 4)
    total2 = g.sum(axis=2, keepdims=True)             # (m, 2, 4, 4) -> (m, 2, 1, 4)
    dh = np.zeros((m, 2, 4, 4))
    dh_windows = (g * (g3 / total2)).reshape(m, 2, 2, 2, 2, 2)
    for i, j in np.ndindex(2, 2):
        dh[:, :, i : i + 4 : 2, j : j + 4 : 2] += dh_windows[:, :, i, j]  # (m, 2, 4, 4)
    dz = dh * (h > 0)                                 # (m, 2, 4, 4)
    db = dz.sum(axis=(0, 2, 3))                       # (m, 2, 4, 4) -> (2,): Σ over the m examples
    g2 = np.tensordot(dz.reshape(m, 2, 16), t, ((0, 2), (0, 2)))  # (2, 9): Σ over the m examples
    dK = g2.reshape(2, 1, 3, 3)                       # (2, 1, 3, 3)

    return loss, {"K": dK, "b": db, "W": dW, "c": dc}
