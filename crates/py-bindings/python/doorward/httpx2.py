"""Tokens on the requests of `httpx2`_, sync and async.

A :class:`doorward.TokenSource` is the ``auth`` as it is, of one call or of a client::

    with httpx2.Client(auth=tokens) as client: ...
    async with httpx2.AsyncClient(auth=tokens) as client: ...

:class:`Auth` is the same as an explicit object, for code that wants a plain ``httpx2.Auth``. The token goes to the origin that was
asked and to no other, whatever redirects say; httpx2 itself lets it follow one from ``http`` to ``https`` of the same host. A request that
is answered with 401 is repeated once, with a fresh token, if there is one and the body can be sent again.

.. _httpx2: https://pypi.org/project/httpx2/
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx2

from . import TokenSource
from ._httpx import async_flow, sync_flow

__all__ = ["Auth"]


class Auth(httpx2.Auth):
    """Puts the tokens of a source on requests.

    Args:
        tokens: where they come from.
    """

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        return sync_flow(self._tokens, request)

    def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        return async_flow(self._tokens, request)
