"""Tokens on the requests of `requests`_.

A :class:`doorward.TokenSource` is the ``auth`` as it is, of one call or of a session::

    requests.get(url, auth=tokens)

    session = requests.Session()
    session.auth = tokens

The token goes to the origin that was asked and to no other, whatever redirects say. A token that is answered with 401 is replaced;
the request is repeated once with the fresh one, if its body can be sent again: in memory, or a file that can be rewound.

.. _requests: https://requests.readthedocs.io
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from ._floor import needs

needs("requests", "2.31", extra="requests")

from urllib.parse import urljoin

from ._body import rewinding
from ._origin import Origin, origin_of
from ._renewal import renewed

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from . import TokenSource

__all__ = ["sign"]

_HEADER = "Authorization"


def sign(tokens: TokenSource, request: PreparedRequest) -> PreparedRequest:
    """Put a token on a request, and follow it: what ``auth=tokens`` does."""
    authorization = tokens.authorization()
    request.headers[_HEADER] = authorization
    origin = origin_of(request.url or "")
    rewind = rewinding(request.body)
    repeated = False

    def follow(response: Response, **options: Any) -> Response:
        nonlocal repeated
        if response.is_redirect:
            return _hold_back(response, origin)
        sent = response.request.headers.get(_HEADER)
        if response.status_code != 401 or repeated or sent != authorization or origin_of(response.url) != origin:
            return response
        fresh = renewed(tokens, authorization)
        if fresh is None or not rewind():
            return response
        repeated = True
        return _hold_back(_repeat(response, fresh, options), origin)

    request.register_hook("response", follow)  # type: ignore[no-untyped-call]
    return request


def _hold_back(response: Response, origin: Origin) -> Response:
    """Take the token off a request before it follows a redirect elsewhere."""
    if response.is_redirect and origin_of(urljoin(response.url, response.headers["location"])) != origin:
        response.request.headers.pop(_HEADER, None)
    return response


def _repeat(response: Response, authorization: str, options: dict[str, Any]) -> Response:
    # The connection is free again once the answer is read.
    _ = response.content
    response.close()
    # The request itself, since that is what follows redirects.
    request = response.request
    request.headers[_HEADER] = authorization
    adapter: Any = response.connection
    again: Response = adapter.send(request, **options)
    again.history.append(response)
    again.request = request
    return again
