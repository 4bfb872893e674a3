"""The pictures of the page on averaging, made anew with each build: every number in them is this library's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_mb as tg

STYLE = {"svg.fonttype": "path", "svg.hashsalt": "pictures", "font.size": 11, "mathtext.fontset": "cm"}
EXAMPLE, MEAN, WRONG = "#0072b2", "#000000", "#c44e00"  # three greys, and three colours for every eye


def make(folder: Path) -> None:
    """Write all pictures to ``folder``."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for picture in plane, rows:
            figure = picture()
            figure.savefig(folder / f"{picture.__name__}.svg", metadata={"Date": None})
            plt.close(figure)
    tg.draw(net()["loss"]).save(folder / "graph.svg")


# --------------------------------------------------------------------------- two weights, three examples


def plane() -> Any:
    """The mean loss over the plane of two weights, and the steps that three examples, their mean and a mistake take."""
    X, y = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, -1.0]]), np.array([-2.0, 4.0, -3.0])
    w = np.array([1.0, 0.0])

    def loss(w: Any, x: Any, y: Any) -> Any:
        return 0.5 * np.square(x @ w - y)

    each = tg.per_example_grads(loss, w, X, y)
    mean = tg.grad(lambda w: loss(w, X, y).mean())(w)
    averaged_first = tg.grad(loss)(w, X.mean(axis=0), y.mean())

    figure, axes = plt.subplots(figsize=(7.4, 5.8), layout="constrained")
    first, second = np.meshgrid(np.linspace(-3.8, 5.8, 193), np.linspace(-3.9, 3.7, 153))
    heights = np.mean([0.5 * (a * first + b * second - c) ** 2 for (a, b), c in zip(X, y, strict=True)], axis=0)
    levels = [4.1, 4.5, 5.5, 7.0, 9.0, 11.5, 14.5, 18.0]
    lines = axes.contour(first, second, heights, levels, colors="#a8a8a8", linewidths=0.9)
    axes.clabel(lines, [5.5, 7.0, 9.0, 14.5], fontsize=9, colors="#707070")

    for i, (g, shift) in enumerate(zip(each, [(-8, -17), (8, -17), (10, -2)], strict=True), 1):
        _arrow(axes, w, w - g, EXAMPLE, 1.6)
        _label(axes, w - g, f"$-g_{i}$, of example {i}", shift, EXAMPLE, "left" if i == 3 else "center")
    _arrow(axes, w, w - mean, MEAN, 3.2)
    _label(axes, w - mean, "mean of the three:\nto the minimum", (0, -36), MEAN, "center")
    _arrow(axes, w, w - averaged_first, WRONG, 3.0, linestyle=(0, (2, 1)))
    _label(axes, w - averaged_first, "averaged first:\nuphill", (-6, 6), WRONG, "right")
    axes.plot(*w, "o", color=MEAN, markersize=7, zorder=5)
    _label(axes, w, "here", (9, 4), MEAN, "left")
    axes.plot(*(w - mean), "+", color="#707070", markersize=11, zorder=0)
    axes.set(xlabel="first weight", ylabel="second weight", aspect="equal")
    return figure


def _arrow(axes: Any, start: Any, end: Any, color: str, width: float, linestyle: Any = "-") -> None:
    look = {"arrowstyle": "-|>,head_width=0.3,head_length=0.6", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look | {"color": color, "linewidth": width, "linestyle": linestyle})


def _label(axes: Any, place: Any, text: str, shift: tuple[float, float], color: str, side: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.annotate(text, place, shift, textcoords="offset points", color=color, ha=side, bbox=box)


# ------------------------------------------------------------------------- one hidden layer, three examples


def net() -> dict[str, Any]:
    """The net of the page's second program, with everything in it by name, after its backward."""
    X = tg.Tensor([[1.0, 0.5], [-1.0, 2.0], [0.5, -1.5]], name="X")
    y = tg.Tensor([1.0, -1.0, 0.5], name="y")
    V = tg.Tensor([[0.5, -0.4], [-0.3, 0.8]], requires_grad=True, name="V")
    w = tg.Tensor([0.6, -0.5], requires_grad=True, name="w")
    Z = (X @ V).retain_grad().named("Z")
    H = np.tanh(Z).named("H")
    e = (H @ w - y).retain_grad().named("e")
    loss = (0.5 * np.square(e)).named("losses").sum().named("loss")
    loss.backward()
    return {"X": X, "V": V, "w": w, "Z": Z, "H": H, "e": e, "loss": loss}


def rows() -> Any:
    """Every example's own row from its inputs to what it adds to the weights, and the sums below."""
    t = net()
    X, H, e, delta = t["X"].data, t["H"].data, t["e"].data, t["Z"].grad
    columns = [
        ("inputs\n$x_i$", X[:, None, :]),
        ("activations\n" + r"$h_i = \tanh(x_i V)$", H[:, None, :]),
        ("error\n$e_i = h_i w - y_i$", e[:, None, None]),
        ("hidden $\\delta$\n" + r"$\delta_i = e_i\,w\,(1 - h_i^2)$", delta[:, None, :]),
        ("adds to $V$'s\ngradient\n" + r"$x_i^{\mathsf{T}}\,\delta_i$", X[:, :, None] * delta[:, None, :]),
        ("adds to $w$'s\ngradient\n$h_i\\,e_i$", (H * e[:, None])[:, None, :]),
    ]
    sums = {4: t["V"].grad, 5: t["w"].grad[None]}

    figure, axes = plt.subplots(figsize=(8.8, 4.6), layout="constrained")
    cell, left = 0.62, 1.3
    centres = []
    for _, values in columns:
        width = values.shape[2] * cell
        centres.append(left + width / 2)
        left += width + 0.45
    for i in range(3):
        axes.add_patch(plt.Rectangle((0, -i - 1), left - 0.3, 0.94, color="#e3eef7" if i % 2 else "#f2f2f2", zorder=0))
        axes.text(0.1, -i - 0.53, f"example {i + 1}", va="center")
    for k, (centre, (title, values)) in enumerate(zip(centres, columns, strict=True)):
        axes.text(centre, 0.12, title, ha="center", va="bottom", linespacing=1.5)
        for i in range(3):
            _matrix(axes, centre, -i - 0.53, values[i], cell)
        if k in sums:
            axes.text(centre, -3.13, "added up", ha="center", va="center")
            _matrix(axes, centre, -3.66, sums[k], cell, bold=True)
    axes.set(xlim=(0, left - 0.3), ylim=(-4.1, 0.95))
    axes.axis("off")
    return figure


def _matrix(axes: Any, x: float, y: float, values: Any, cell: float, bold: bool = False) -> None:
    height = 0.4
    for (r, c), value in np.ndenumerate(values):
        corner = (x + (c - values.shape[1] / 2) * cell, y - (r + 1 - values.shape[0] / 2) * height)
        box = plt.Rectangle(corner, cell, height, facecolor="white", edgecolor="black", linewidth=2 if bold else 0.8)
        axes.add_patch(box)
        text = f"{round(value, 2) + 0:.2f}".replace("-", "\N{MINUS SIGN}")
        axes.text(corner[0] + cell / 2, corner[1] + height / 2, text, ha="center", va="center", fontsize=10,
                  fontweight="bold" if bold else "normal")  # fmt: skip
