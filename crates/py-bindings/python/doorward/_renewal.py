"""Another token for a request that a service answered with 401, if there is one.

A request that cannot be sent again reports its token all the same: the requests after it, and other processes that share the tokens, then
have the fresh one. If there is none, because the issuer does not answer, refuses or was just asked, the caller gets the service's answer: it says more than
an error about tokens would.
"""

from __future__ import annotations

from . import DoorwardError, TokenSource

__all__ = ["renewed", "renewed_async", "token_in"]


def renewed(tokens: TokenSource, authorization: str) -> str | None:
    """The ``Authorization`` to try after this one was rejected, or ``None``."""
    try:
        fresh = tokens.authorization(rejected=token_in(authorization))
    except DoorwardError:
        return None
    return None if fresh == authorization else fresh


async def renewed_async(tokens: TokenSource, authorization: str) -> str | None:
    """The same, to be awaited."""
    try:
        fresh = await tokens.authorization_async(rejected=token_in(authorization))
    except DoorwardError:
        return None
    return None if fresh == authorization else fresh


def token_in(authorization: str) -> str:
    """The token of an ``Authorization``."""
    return authorization.partition(" ")[2]
