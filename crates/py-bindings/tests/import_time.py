"""How long the package takes to import: the best of twenty fresh interpreters, less an empty one. 60 ms is the bound.

Run it on a quiet machine: ``python tests/import_time.py``.
"""

from __future__ import annotations

import subprocess
import sys
import time

BOUND = 0.060


def best_of(program: str, runs: int = 20) -> float:
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        took.append(time.perf_counter() - began)
    return min(took)


if __name__ == "__main__":
    spent = best_of("import doorward") - best_of("pass")
    print(f"import doorward: {1000 * spent:.1f} ms")
    sys.exit(spent > BOUND)
