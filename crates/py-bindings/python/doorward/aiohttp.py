"""Tokens on the requests of `aiohttp`_'s client: a middleware.

::

    bearer = Bearer(tokens, "https://churn.internal")
    async with aiohttp.ClientSession(middlewares=(bearer,)) as session: ...

or for one request, ``session.get(url, middlewares=(bearer,))``. The token goes to the origins that are named and to no other, whatever
redirects say: aiohttp calls its middlewares at each redirect, without marking it as one. A token that is answered with 401 is
replaced; the request is repeated once with the fresh one, if its body can be sent again: in memory, or a file that can be rewound.

.. _aiohttp: https://docs.aiohttp.org
"""

from __future__ import annotations

from ._floor import needs

needs("aiohttp", "3.12.15", extra="aiohttp")

from io import SEEK_END, IOBase

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs, payload
from yarl import URL

from . import TokenSource
from ._origin import Origin, origin_named, origin_of
from ._renewal import renewed_async

__all__ = ["Bearer"]


class Bearer:
    """Puts the tokens of a source on requests.

    Args:
        tokens: source of the tokens.
        origins: origins that may receive them: URLs, of which scheme, host and port count.

    Raises:
        ValueError: if no origin is named, or what is named is not an origin.
    """

    def __init__(self, tokens: TokenSource, *origins: str) -> None:
        self._tokens = tokens
        self._origins = origins_named(*origins)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if origin_of(str(request.url)) not in self._origins:
            return await handler(request)
        authorization = await self._tokens.authorization_async()
        request.headers[hdrs.AUTHORIZATION] = authorization
        response = await handler(request)
        if response.status != 401:
            return response
        fresh = await renewed_async(self._tokens, authorization)
        if fresh is None or not _is_repeatable(request):
            return response
        await response.read()
        response.release()
        request.headers[hdrs.AUTHORIZATION] = fresh
        return await handler(request)


def origins_named(*urls: str) -> frozenset[Origin]:
    """The origins that may receive tokens.

    Raises:
        ValueError: see :class:`Bearer`.
    """
    if not urls:
        raise ValueError("missing origins: name the origins that may receive tokens, such as https://churn.internal")
    return frozenset(map(_named, urls))


def _named(url: str) -> Origin:
    # As aiohttp writes it in requests: international names in ASCII.
    return origin_named(str(URL(url)))


def _is_repeatable(request: ClientRequest) -> bool:
    body = request.body
    if not isinstance(body, payload.Payload) or isinstance(body, payload.BytesPayload):
        return True
    return isinstance(body, payload.IOBasePayload) and not body.consumed and _is_read(body._value)


def _is_read(file: IOBase) -> bool:
    """True if the whole file was sent. A service may answer before that; a thread may then still read the file, which has one position."""
    try:
        position = file.tell()
        end = file.seek(0, SEEK_END)
        file.seek(position)
    except (OSError, ValueError):
        return False
    return position == end
