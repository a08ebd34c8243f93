"""Tokens on the requests of `httpx`_, sync and async.

A :class:`doorward.TokenSource` is the ``auth`` as it is, of one call or of a client::

    with httpx.Client(auth=tokens) as client: ...
    async with httpx.AsyncClient(auth=tokens) as client: ...

:class:`Auth` is the same as an explicit object, for code that wants a plain ``httpx.Auth``. The token goes to the origin that was
asked and to no other, whatever redirects say. A request that is answered with 401 is repeated once, with a fresh token, if there is
one and the body can be sent again.

.. _httpx: https://www.python-httpx.org
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx

from . import _native
from ._origin import bearer, origin_of

__all__ = ["Auth"]

_HEADER = "Authorization"

SyncFlow = Generator[httpx.Request, httpx.Response, None]
AsyncFlow = AsyncGenerator[httpx.Request, httpx.Response]


class Auth(httpx.Auth):
    """Puts the tokens of a source on requests.

    Args:
        tokens: where they come from.
    """

    def __init__(self, tokens: _native.TokenSource) -> None:
        self._tokens = tokens

    def sync_auth_flow(self, request: httpx.Request) -> SyncFlow:
        return sync_flow(self._tokens, request)

    def async_auth_flow(self, request: httpx.Request) -> AsyncFlow:
        return async_flow(self._tokens, request)


class SourceAsAuth(httpx.Auth):
    """What a ``TokenSource`` says its class is when httpx asks; nothing is ever made of it."""


def sync_flow(tokens: _native.TokenSource, request: httpx.Request) -> SyncFlow:
    """One request, or two."""
    authorization = tokens.authorization()
    request.headers[_HEADER] = authorization
    response = yield request
    if not _refused(request, response, authorization):
        return
    rejected = bearer(authorization)
    fresh = tokens.token(rejected=rejected)
    if fresh != rejected:
        response.read()
        request.headers[_HEADER] = f"Bearer {fresh}"
        yield request


async def async_flow(tokens: _native.TokenSource, request: httpx.Request) -> AsyncFlow:
    """The same for the async client."""
    authorization = await tokens.authorization_async()
    request.headers[_HEADER] = authorization
    response = yield request
    if not _refused(request, response, authorization):
        return
    rejected = bearer(authorization)
    fresh = await tokens.token_async(rejected=rejected)
    if fresh != rejected:
        await response.aread()
        request.headers[_HEADER] = f"Bearer {fresh}"
        yield request


def _refused(request: httpx.Request, response: httpx.Response, authorization: str) -> bool:
    """Whether it was our token that was refused, where we sent it, and the request can be sent again."""
    if response.status_code != 401 or response.request.headers.get(_HEADER) != authorization:
        return False
    if origin_of(str(response.request.url)) != origin_of(str(request.url)):
        return False
    # A body that comes from an iterator is gone.
    return isinstance(request.stream, httpx.ByteStream)
