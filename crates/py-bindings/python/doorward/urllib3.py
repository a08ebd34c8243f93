"""Tokens on the requests of `urllib3`_.

::

    http = PoolManager(tokens)
    http.request("GET", "https://churn.internal/score")

The token goes to the origin that was asked and to no other, whatever redirects say. A token that is answered with 401 is replaced;
the request is repeated once with the fresh one, if its body can be sent again: in memory, or a file that can be rewound. :func:`headers` is for libraries that take headers but no pool:
a mapping whose ``Authorization`` is fresh whenever it is read.

.. _urllib3: https://urllib3.readthedocs.io
"""

from __future__ import annotations

from ._floor import needs

needs("urllib3", "2.0.2", extra="urllib3")

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3 import BaseHTTPResponse, Retry

from . import TokenSource
from ._body import rewinding
from ._origin import origin_of
from ._renewal import renewed

__all__ = ["PoolManager", "headers"]

_HEADER = "Authorization"


class PoolManager(urllib3.PoolManager):
    """A ``urllib3.PoolManager`` whose requests carry a token.

    Args:
        tokens: source of the tokens.
        options: what ``urllib3.PoolManager`` takes.
    """

    def __init__(self, tokens: TokenSource, **options: Any) -> None:
        super().__init__(**options)
        self._tokens = tokens

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> BaseHTTPResponse:  # type: ignore[override]
        retries = options.get("retries")
        if isinstance(retries, Retry) and retries.history:
            # urllib3 follows a redirect, and has taken the token off if that leads elsewhere.
            return super().urlopen(method, url, redirect, **options)
        given = _without_authorization(options.pop("headers", None) or self.headers)
        authorization = self._tokens.authorization()
        rewind = rewinding(options.get("body"))
        response = super().urlopen(method, url, redirect, headers={**given, _HEADER: authorization}, **options)
        redirects = _redirects(url, response)
        if response.status != 401 or any(origin_of(step) != origin_of(url) for step in redirects):
            return response
        fresh = renewed(self._tokens, authorization)
        # What was redirected may have had its effect: it is not sent from the start again.
        if fresh is None or redirects or not rewind():
            return response
        response.drain_conn()
        return super().urlopen(method, url, redirect, headers={**given, _HEADER: fresh}, **options)


def _without_authorization(headers: Mapping[str, str]) -> dict[str, str]:
    # In any spelling: servers differ in which of two they read.
    return {name: value for name, value in dict(headers).items() if name.lower() != _HEADER.lower()}


def _redirects(url: str, response: BaseHTTPResponse) -> list[str]:
    """The addresses that a request was redirected to."""
    addresses: list[str] = []
    for step in response.retries.history if response.retries else ():
        if step.redirect_location:
            url = urljoin(url, step.redirect_location)
            addresses.append(url)
    return addresses


def headers(tokens: TokenSource, others: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """A mapping whose ``Authorization`` is fresh whenever it is read.

    Args:
        tokens: source of the tokens.
        others: other headers.
    """
    return _Headers(tokens, _without_authorization(others or {}))


class _Headers(Mapping[str, str]):
    def __init__(self, tokens: TokenSource, others: dict[str, str]) -> None:
        self._tokens = tokens
        self._others = others

    def __getitem__(self, name: str) -> str:
        if name.lower() == _HEADER.lower():
            return self._tokens.authorization()
        return self._others[name]

    def __iter__(self) -> Iterator[str]:
        yield _HEADER
        yield from self._others

    def __len__(self) -> int:
        return 1 + len(self._others)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"

    def copy(self) -> dict[str, str]:
        """As they are now."""
        return dict(self)
