"""Tokens on the requests of ``httpx2``, sync and async: used as :mod:`doorward.httpx` is, with the classes of httpx2.

A :class:`doorward.TokenSource` is the ``auth`` as it is, of one call or of a client::

    with httpx2.Client(auth=tokens) as client: ...
    async with httpx2.AsyncClient(auth=tokens) as client: ...
"""

from __future__ import annotations

from ._floor import needs

needs("httpx2", "2.0", extra="httpx2")

import httpx2

from ._httpx import AuthFlows

__all__ = ["Auth"]


class Auth(AuthFlows, httpx2.Auth):
    """Puts the tokens of a source on requests.

    Args:
        tokens: source of the tokens.
    """
