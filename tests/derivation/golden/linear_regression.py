def gradients(params, x, y):
    """The loss, and its gradient by each parameter."""
    w, b = params["w"], params["b"]
    m = len(x)  # the number of examples

    # forward
    f = x @ w + b             # (m,)
    error = f - y             # (m,)
    loss = (error**2).mean()  # (m,) -> scalar: mean over the m examples

    # backward
    df = 2 / m * error  # (m,)
    dw = x.T @ df       # (2, m) @ (m,): Σ over the m examples
    db = df.sum()       # (m,) -> scalar: Σ over the m examples

    return loss, {"w": dw, "b": db}
