"""Special functions that NumPy lacks: of arrays and of Tensors alike."""

from .vjps.special import erf, logsumexp, normal_cdf

__all__ = ["erf", "logsumexp", "normal_cdf"]
