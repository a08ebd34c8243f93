"""Measures the promised figures: the import, a remembered token, an event loop that waits for a slow issuer.

Run it on a quiet machine, with a wheel of ``just wheel`` installed: ``python tests/measure.py``. It fails where a bound is not held.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

import doorward
from doorward.testing import Issuer


def import_ms() -> float:
    """The best of twenty fresh interpreters, less an empty one."""

    def best_of(program: str) -> float:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            took.append(time.perf_counter() - began)
        return min(took)

    return 1000 * (best_of("import doorward") - best_of("pass"))


def remembered_us() -> float:
    """One ``verify`` of a token that was verified before; the best of 20 rounds of 10,000."""
    with Issuer() as issuer:
        verify = issuer.verifier("churn").verify
        token = issuer.mint(audience="churn", roles=["data-scientist"])
        took = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(10_000):
                verify(token)
            took.append(time.perf_counter() - began)
        return 1e6 * min(took) / 10_000


def stall_ms() -> float:
    """The longest turn of an event loop in which 200 tasks wait for a token endpoint that takes 300 ms; the best of five."""

    async def main(tokens: doorward.TokenSource) -> float:
        longest, done = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not done:
                before = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - before)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(tokens.token_async() for _ in range(200)))
        done = True
        await watching
        return longest

    with Issuer() as issuer:
        issuer.fail("token", delay=0.3)
        made = doorward.Issuer(issuer.url)
        return 1000 * min(asyncio.run(main(made.client_credentials("client", secret="secret"))) for _ in range(5))


FIGURES: list[tuple[str, Callable[[], float], str, float]] = [
    ("import doorward", import_ms, "ms", 60),
    ("verify a remembered token", remembered_us, "µs", 1.5),
    ("longest turn of a waiting loop", stall_ms, "ms", 5),
]

if __name__ == "__main__":
    held = True
    for name, measure, unit, bound in FIGURES:
        figure = measure()
        held &= figure <= bound
        print(f"{name:32} {figure:6.2f} {unit}   (bound {bound} {unit})")
    sys.exit(not held)
