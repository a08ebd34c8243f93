"""Identifies the caller of any ASGI application: Starlette, Django, Litestar, Quart, ….

Behind the gateway, its assertion says who the caller is (:class:`GatewayAuth`); a service that programs call directly takes access tokens
(:class:`BearerAuth`). Both leave the :class:`doorward.Claims` in ``scope["doorward"]``, and in ``scope["state"]["claims"]``, which
Starlette shows as ``request.state.claims``::

    app = GatewayAuth(app, doorward.Gateway("https://platform.example").verifier(audience="scoring"))

Behind the gateway a person is ``claims["idp"]``, the issuer that signed them in, and ``claims.subject``: two issuers may use the same subject,
and the same user name.

A request that is refused never reaches the application; a WebSocket is refused before it is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from . import Claims, Verifier
from .access import GatewayGuard, Guard, Names, Refused, Require, one_or_more

__all__ = ["BearerAuth", "GatewayAuth"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ASSERTION = b"x-doorward-assertion"
_AUTHORIZATION = b"authorization"


class _Auth:
    def __init__(self, app: App, guard: Guard, public: Names, optional: bool) -> None:
        self.app = app
        self.guard = guard
        self.public = frozenset(one_or_more(public))
        self.optional = optional

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope.get("path") in self.public:
            await self.app(scope, receive, send)
            return
        try:
            claims = await self.identify(scope)
        except Refused as refused:
            await _answer(refused, scope, receive, send)
            return
        scope = dict(scope)
        scope["doorward"] = claims
        scope["state"] = {**(scope.get("state") or {}), "claims": claims}
        await self.app(scope, receive, send)

    async def identify(self, scope: Scope) -> Claims | None:
        raise NotImplementedError


class BearerAuth(_Auth):
    """Lets requests through that present a good access token (RFC 6750).

    Args:
        app: the application behind.
        verifier: verifies the tokens.
        roles: see :class:`doorward.access.Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.
        realm: the name of the protected space in challenges.
        public: paths open to every caller, exactly as they stand in ``scope["path"]``.
        optional: let requests without a token through; their claims are ``None``.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        roles: Names | None = None,
        client_roles: Mapping[str, Names] | None = None,
        groups: Names | None = None,
        scopes: Names | None = None,
        clients: Names | None = None,
        any: Sequence[Require] = (),
        realm: str | None = None,
        public: Names = (),
        optional: bool = False,
    ) -> None:
        guard = Guard(
            verifier, roles=roles, client_roles=client_roles, groups=groups, scopes=scopes, clients=clients, any=any, realm=realm
        )
        super().__init__(app, guard, public, optional)

    async def identify(self, scope: Scope) -> Claims | None:
        values = _values(scope, _AUTHORIZATION)
        if self.optional and not values:
            return None
        return await self.guard.check_async(values)


class GatewayAuth(_Auth):
    """Lets requests through for which the gateway vouches (``X-Doorward-Assertion``). Nothing else is accepted: no other header, no
    cookie, no access token.

    Args:
        app: the application behind.
        verifier: verifies assertions; its audience is the route's name in the gateway (see :class:`doorward.Gateway`).
        roles: see :class:`doorward.access.Require`; likewise the others. The gateway's own rules have let the request through already.
        any: requirements of which one is enough, besides those given here.
        public: paths open to every caller, such as health checks that do not come through the gateway.
        optional: let requests without an assertion through; their claims are ``None``.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        roles: Names | None = None,
        client_roles: Mapping[str, Names] | None = None,
        groups: Names | None = None,
        clients: Names | None = None,
        any: Sequence[Require] = (),
        public: Names = (),
        optional: bool = False,
    ) -> None:
        guard = GatewayGuard(verifier, roles=roles, client_roles=client_roles, groups=groups, clients=clients, any=any)
        super().__init__(app, guard, public, optional)

    async def identify(self, scope: Scope) -> Claims | None:
        values = _values(scope, ASSERTION)
        if not values and self.optional:
            return None
        return await self.guard.check_async(values)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _answer(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    body = json.dumps(refused.problem()).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in refused.headers.items()]
    kind = "http"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            # The server answers the handshake with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused.code})
            return
        kind = "websocket.http"
    await send({"type": f"{kind}.response.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
