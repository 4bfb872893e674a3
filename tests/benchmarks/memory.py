"""Peak memory of training 784-1024-1024-10, batch 256, SGD with momentum, beyond the model, its optimizer and data.

    python tests/benchmarks/memory.py

Each side runs in a process of its own; Linux only, since it reads the kernel's own high-water mark.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SIDES = ("tinygrad_mb", "numpy_readable", "torch", "mygrad")


def measure(side: str) -> None:
    """Print the megabytes that training needs beyond what stands before its first step."""
    import digits_net
    import small_net

    getattr(small_net, side)()()  # what is loaded at the first step does not count
    digits_net.SIZES, digits_net.M = (784, 1024, 1024, 10), 256
    step = getattr(digits_net, side)()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status("VmRSS")
    for _ in range(5):
        step()
    print((status("VmHWM") - before) / 1024)


def status(field: str) -> int:
    """A field of this process's status, in KiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1])


def main() -> None:
    """Measure each side three times."""
    print(f"### {(__doc__ or '').splitlines()[0]}\n\n| | MB |\n|---|--:|", flush=True)
    for side in SIDES:
        command = [sys.executable, __file__, side]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
        print(f"| {side} | {sorted(map(float, runs))[1]:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
