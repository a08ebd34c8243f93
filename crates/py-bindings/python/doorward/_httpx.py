"""The one implementation behind ``doorward.httpx`` and ``doorward.httpx2``. It imports neither library."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from functools import cache
from typing import Any

from . import TokenSource
from ._body import rewinding
from ._origin import origin_of
from ._renewal import renewed, renewed_async

_HEADER = "Authorization"
_LIBRARIES = ("httpx", "httpx2")


def sync_flow(tokens: TokenSource, request: Any) -> Generator[Any, Any, None]:
    """One request, or two."""
    authorization = tokens.authorization()
    request.headers[_HEADER] = authorization
    rewind = _rewinding(request.stream)
    response = yield request
    if not _is_refused(request, response, authorization):
        return
    fresh = renewed(tokens, authorization)
    if fresh is not None and rewind():
        response.read()
        request.headers[_HEADER] = fresh
        yield request


async def async_flow(tokens: TokenSource, request: Any) -> AsyncGenerator[Any, Any]:
    """The same for the async client."""
    authorization = await tokens.authorization_async()
    request.headers[_HEADER] = authorization
    rewind = _rewinding(request.stream)
    response = yield request
    if not _is_refused(request, response, authorization):
        return
    fresh = await renewed_async(tokens, authorization)
    if fresh is not None and rewind():
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


def _is_refused(request: Any, response: Any, authorization: str) -> bool:
    """True if this token was refused, by the origin it was sent to."""
    if response.status_code != 401 or response.request.headers.get(_HEADER) != authorization:
        return False
    return origin_of(str(response.request.url)) == origin_of(str(request.url))


def _rewinding(stream: Any) -> Callable[[], bool]:
    """See :func:`rewinding`. Knows the streams that the libraries make; one of the caller's own is sent once."""
    kind = type(stream)
    if kind.__module__.partition(".")[0] not in _LIBRARIES:
        return lambda: False
    if kind.__name__ == "MultipartStream":
        return lambda: all(_is_rewound(field.file) for field in stream.fields if hasattr(field, "file"))
    if kind.__name__ in ("ByteStream", "IteratorByteStream"):
        return rewinding(getattr(stream, "_stream", stream))
    return lambda: False


def _is_rewound(file: Any) -> bool:
    """True if the library rewinds this part of a form when it sends the form again."""
    if isinstance(file, (bytes, str)):
        return True
    try:
        return not file.closed and bool(file.seekable())
    except AttributeError:
        return False
