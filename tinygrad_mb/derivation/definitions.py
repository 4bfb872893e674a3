"""Functions that NumPy lacks, as a printed function defines them for itself."""

from __future__ import annotations

from ..vjps import special


def _numbers(coefficients: tuple[float, ...]) -> str:
    return f"[{', '.join(map(repr, coefficients))}]"


ERF = f"""\
def erf(x):  # the error function, which NumPy lacks, to the last digit: W. J. Cody (1969)
    size = np.abs(x)
    small, large = np.minimum(size, {special._BORDER}), np.clip(size, {special._BORDER}, 6)
    p = {_numbers(special._P)}
    q = {_numbers(special._Q)}
    r = {_numbers(special._R)}
    s = {_numbers(special._S)}
    near = small * np.polyval(p, small**2) / np.polyval(q, small**2)
    far = 1 - np.exp(-(large**2)) * np.polyval(r, large) / np.polyval(s, large)
    return np.copysign(np.where(size <= {special._BORDER}, near, far), x).astype(x.dtype)
"""
