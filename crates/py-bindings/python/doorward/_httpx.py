"""The one implementation behind ``doorward.httpx`` and ``doorward.httpx2``. It imports neither library."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from functools import cache
from typing import Any

from . import TokenSource
from ._origin import origin_of
from ._renewal import renewed, renewed_async

_HEADER = "Authorization"
_LIBRARIES = ("httpx", "httpx2")


def sync_flow(tokens: TokenSource, request: Any) -> Generator[Any, Any, None]:
    """One request, or two."""
    authorization = tokens.authorization()
    request.headers[_HEADER] = authorization
    response = yield request
    if not _refused(request, response, authorization):
        return
    fresh = renewed(tokens, authorization)
    if fresh is not None:
        response.read()
        request.headers[_HEADER] = fresh
        yield request


async def async_flow(tokens: TokenSource, request: Any) -> AsyncGenerator[Any, Any]:
    """The same for the async client."""
    authorization = await tokens.authorization_async()
    request.headers[_HEADER] = authorization
    response = yield request
    if not _refused(request, response, authorization):
        return
    fresh = await renewed_async(tokens, authorization)
    if fresh is not None:
        await response.aread()
        request.headers[_HEADER] = fresh
        yield request


class AuthFlows:
    """The flows of an ``Auth``. Each module adds the base class of its library.

    Args:
        tokens: source of the tokens.
    """

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        return sync_flow(self._tokens, request)

    def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        return async_flow(self._tokens, request)


def class_of_source() -> type:
    """The class that a source of tokens reports: where one of the libraries is loaded, a subclass of its ``Auth``."""
    return _class(tuple(sys.modules[name].Auth for name in _LIBRARIES if hasattr(sys.modules.get(name), "Auth")))


@cache
def _class(bases: tuple[type, ...]) -> type:
    # It never has instances.
    return type("TokenSource", bases, {"__module__": "doorward"}) if bases else TokenSource


def _refused(request: Any, response: Any, authorization: str) -> bool:
    """True if this token was refused, by the origin it was sent to, and the request can be sent again."""
    if response.status_code != 401 or response.request.headers.get(_HEADER) != authorization:
        return False
    if origin_of(str(response.request.url)) != origin_of(str(request.url)):
        return False
    try:
        # A body that comes from an iterator was not read before it was sent, and is gone.
        return request.content is not None
    except RuntimeError:
        return False
