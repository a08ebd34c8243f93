"""What follows when a service answers 401: another token, if there is one.

If there is none, because the issuer does not answer, says no or was just asked, the service's answer stands: it says more to whoever
sent the request than an error about tokens would.
"""

from __future__ import annotations

from . import DoorwardError, TokenSource

__all__ = ["renewed", "renewed_async"]


def renewed(tokens: TokenSource, authorization: str) -> str | None:
    """The ``Authorization`` to try after this one was rejected, or ``None``."""
    try:
        fresh = tokens.authorization(rejected=_token(authorization))
    except DoorwardError:
        return None
    return None if fresh == authorization else fresh


async def renewed_async(tokens: TokenSource, authorization: str) -> str | None:
    """The same, to be awaited."""
    try:
        fresh = await tokens.authorization_async(rejected=_token(authorization))
    except DoorwardError:
        return None
    return None if fresh == authorization else fresh


def _token(authorization: str) -> str:
    return authorization.partition(" ")[2]
