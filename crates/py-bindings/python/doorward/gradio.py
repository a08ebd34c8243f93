"""The person who is signed in, in a `Gradio`_ app behind the gateway.

Each event is a request of its own, with a fresh assertion::

    verifier = doorward.Gateway("https://platform.example").verifier(audience="demand")

    def greet(request: gr.Request):
        return f"Hello {signed_in(request, verifier).name}"

    app = gr.mount_gradio_app(app, blocks, path="/", auth_dependency=username(verifier))

An event may wait in Gradio's queue for longer than an assertion is good. Its sender is therefore identified when it arrives, by
:func:`username` or by ``doorward.asgi.GatewayAuth`` around the application, and not again when it runs. Gradio asks
``auth_dependency`` for its pages and events, not for each of its URLs; ``GatewayAuth`` guards them all.

This module does not import Gradio: anything with ``headers`` is a request.

.. _Gradio: https://www.gradio.app
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from . import Claims, Verifier
from .access import GatewayGuard, Names, Refused, Require

__all__ = ["signed_in", "signed_in_async", "username"]

_KNOWN = "doorward"


class HasHeaders(Protocol):
    """A request of Gradio, Starlette or FastAPI."""

    @property
    def headers(self) -> Any: ...


def signed_in(
    request: HasHeaders,
    verifier: Verifier,
    *,
    roles: Names | None = None,
    client_roles: Mapping[str, Names] | None = None,
    groups: Names | None = None,
    any: Sequence[Require] = (),
) -> Claims:
    """The claims of the person who sent a request.

    Args:
        request: the event's request.
        verifier: verifies assertions; its audience is the route's name in the gateway (see :class:`doorward.Gateway`).
        roles: see :class:`doorward.access.Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.

    Raises:
        doorward.access.Refused: without an assertion, or without the right claims.
    """
    guard = GatewayGuard(verifier, roles=roles, client_roles=client_roles, groups=groups, any=any)
    claims = _arrived(request, guard)
    if claims is None:
        claims = _keep(request, guard.verified(_values(request.headers)))
    return guard.allow(claims)


async def signed_in_async(request: HasHeaders, verifier: Verifier, **required: Any) -> Claims:
    """:func:`signed_in`, to be awaited: for events that are ``async``."""
    guard = GatewayGuard(verifier, **required)
    claims = _arrived(request, guard)
    if claims is None:
        claims = _keep(request, await guard.verified_async(_values(request.headers)))
    return guard.allow(claims)


def username(verifier: Verifier, **required: Any) -> Callable[[Any], str | None | Awaitable[str | None]]:
    """A function for Gradio's ``auth_dependency=``: it returns the name of the person who sent a request, or ``None``.

    It is for display: two issuers may use it for two people. Keep what belongs to a person by ``claims["idp"]`` and ``claims.subject``, which
    :func:`signed_in` returns.

    Args:
        verifier: verifies assertions.
        required: what :func:`signed_in` requires.
    """

    # Invalid arguments raise now, and not at the first request.
    GatewayGuard(verifier, **required)

    def name(request: Any) -> str | None | Awaitable[str | None]:
        # Older versions of Gradio ask in a thread and take the answer as it is; newer ones ask in the event loop and await it.
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return name_now(request)
        return name_async(request)

    def name_now(request: Any) -> str | None:
        try:
            return _name(signed_in(request, verifier, **required))
        except Refused:
            return None

    async def name_async(request: Any) -> str | None:
        try:
            return _name(await signed_in_async(request, verifier, **required))
        except Refused:
            return None

    return name


def _name(claims: Claims) -> str:
    return claims.username or claims.subject


def _arrived(request: Any, guard: GatewayGuard) -> Claims | None:
    """The claims that were verified when the request arrived, for the same application."""
    known = _scope(request).get(_KNOWN)
    return known if isinstance(known, Claims) and guard.would_say(known) else None


def _keep(request: Any, claims: Claims) -> Claims:
    _scope(request).setdefault(_KNOWN, claims)
    return claims


def _scope(request: Any) -> MutableMapping[str, Any]:
    # Gradio's own request would copy a scope that it is asked for; it has FastAPI's, unless it was sent to another process.
    scope: MutableMapping[str, Any] | None = getattr(getattr(request, "request", request), "scope", None)
    return {} if scope is None else scope


def _values(headers: Any) -> Sequence[str]:
    name = "x-doorward-assertion"
    if hasattr(headers, "getlist"):
        values: Sequence[str] = headers.getlist(name)
        return values
    value = headers.get(name)
    return [] if value is None else [value]
