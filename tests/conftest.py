"""Settings for every test, doctests included."""

import os

# Before NumPy is loaded: products of small matrices on two BLAS threads are slower than on one, and much slower where
# several test processes share the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
