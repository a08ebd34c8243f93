"""Mixed use for a while, and what it does to memory: ``python tests/mixed_use.py --seconds 600``, or ``--uses 100000``.

Tokens that are remembered, new, refused and rotated away; sync and async; a source of tokens, exchanges, an issuer that is down. The
figures are KiB of resident memory (Linux). It fails when the second half needs more than the first, beyond a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import sys
import time

import doorward
from doorward.testing import Issuer

BOUND = 4096
"""KiB by which memory may differ: arenas of the allocator, not tokens."""


def resident() -> int:
    gc.collect()
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Use:
    """One after the other, everything a service does."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        issuer.add_client("client", "secret", audience="churn")
        self.trusted = doorward.Issuer(issuer.url)
        self.verifier = issuer.verifier("churn")
        self.tokens = self.trusted.client_credentials("client", secret="secret")
        self.known = [self.mint() for _ in range(50)]
        self.expired = issuer.mint(audience="churn", expired=True)
        self.done = 0

    def mint(self) -> str:
        return self.issuer.mint("alice", audience="churn", roles=["data-scientist"])

    def round(self) -> None:
        """A thousand uses."""
        for turn in range(50):
            for token in self.known[:16]:
                claims = self.verifier.verify(token)
                assert claims.roles and claims["sub"] and claims.get("none") is None
            for bad in (self.expired, "x.y.z", "\udcff"):
                with contextlib.suppress(doorward.InvalidToken):
                    self.verifier.verify(bad)
            self.verifier.verify(self.mint())
        self.done += 1000
        asyncio.run(self.concurrently())
        if self.done % 10_000 == 0:
            self.issuer.rotate()
            self.issuer.remove_old_keys()
            self.known = [self.mint() for _ in range(50)]
            verifier = doorward.Issuer(self.issuer.url).verifier("churn")
            verifier.verify(self.known[0])
            self.verifier = verifier
            self.expired = self.issuer.mint(audience="churn", expired=True)

    async def concurrently(self) -> None:
        await asyncio.gather(*(self.verifier.verify_async(token) for token in self.known))
        await asyncio.gather(*(self.tokens.token_async() for _ in range(20)))
        token = self.tokens.token()
        await self.tokens.exchange(audience="client", subject_token=token).token_async()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uses", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, help="instead of a number of uses")
    given = parser.parse_args()
    with Issuer(algorithm="EdDSA", token_lifetime=3600) as issuer:
        use = Use(issuer)
        # Until memories are full and everything was imported once.
        while use.done < 40_000:
            use.round()
        before, from_here, began = resident(), use.done, time.monotonic()
        half = 0
        while True:
            use.round()
            uses, took = use.done - from_here, time.monotonic() - began
            share = took / given.seconds if given.seconds else uses / given.uses
            if not half and share >= 0.5:
                half = resident()
            if share >= 1:
                break
        after = resident()
    print(f"{uses} uses in {took:.0f} s: {before} KiB before, {half} in the middle, {after} after")
    return 0 if after - half <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
