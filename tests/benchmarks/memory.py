"""Peak memory of a training step of 784-1024-1024-10, batch 256, SGD with momentum, beyond what stands before it.

    python tests/benchmarks/memory.py

Each side runs in a process of its own; Linux only, since it reads the kernel's own high-water mark.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SIDES = ("tinygrad_mb", "torch")


def measure(side: str) -> None:
    """Print the megabytes that a step needs beyond the model, its gradients' buffers and its optimizer's state."""
    import digits_net

    digits_net.SIZES, digits_net.M = (784, 1024, 1024, 10), 256
    step = getattr(digits_net, side)()
    step()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status("VmRSS")
    for _ in range(3):
        step()
    print((status("VmHWM") - before) / 1024)


def status(field: str) -> int:
    """A field of this process's status, in KiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1])


def main() -> None:
    """Measure each side three times."""
    print(f"### {(__doc__ or '').splitlines()[0]}\n\n| | MB |\n|---|--:|")
    for side in SIDES:
        command = [sys.executable, __file__, side]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
        print(f"| {side} | {sorted(map(float, runs))[1]:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        main()
