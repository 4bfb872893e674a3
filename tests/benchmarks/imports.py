"""The time that ``import tinygrad_mb`` takes beyond NumPy's own.

Run with ``python tests/benchmarks/imports.py``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main() -> None:
    """Import in fresh processes, in turn."""
    times: dict[str, list[float]] = {"pass": [], "import numpy": [], "import tinygrad_mb": []}
    for _ in range(21):
        for statement, seconds in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            seconds.append(time.perf_counter() - start)
    bare, numpy, ours = (statistics.median(seconds) * 1000 for seconds in times.values())
    print(f"import numpy: {numpy - bare:.0f} ms; import tinygrad_mb: {ours - numpy:.0f} ms more")


if __name__ == "__main__":
    main()
