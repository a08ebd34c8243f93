"""Identifies the caller of any WSGI application: Flask, Django, Bottle, ….

As in ``doorward.asgi``: :class:`GatewayAuth` accepts the gateway's assertion, :class:`BearerAuth` access tokens. Both leave the
:class:`doorward.Claims` in ``environ["doorward"]``::

    application = GatewayAuth(application, doorward.Gateway("https://platform.example").verifier(audience="scoring"))

Behind the gateway a person is ``claims["idp"]`` and ``claims.subject``, as in ``doorward.asgi``. A request that is refused never reaches the
application.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from . import Claims, Verifier
from .access import GatewayGuard, Guard, Names, Refused, Require, one_or_more

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["BearerAuth", "GatewayAuth"]


class _Auth:
    def __init__(self, app: WSGIApplication, guard: Guard, public: Names, optional: bool) -> None:
        self.app = app
        self.guard = guard
        self.public = frozenset(one_or_more(public))
        self.optional = optional

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") not in self.public:
            try:
                environ["doorward"] = self.identify(environ)
            except Refused as refused:
                return _answer(refused, start_response)
        return self.app(environ, start_response)

    def identify(self, environ: Mapping[str, Any]) -> Claims | None:
        raise NotImplementedError


class BearerAuth(_Auth):
    """Lets requests through that present a good access token (RFC 6750); the arguments are those of ``doorward.asgi.BearerAuth``.

    Several ``Authorization`` headers, which a server joins with commas before it calls, are refused as a malformed token.
    """

    def __init__(
        self,
        app: WSGIApplication,
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

    def identify(self, environ: Mapping[str, Any]) -> Claims | None:
        value = environ.get("HTTP_AUTHORIZATION")
        if self.optional and value is None:
            return None
        return self.guard.check([] if value is None else [value])


class GatewayAuth(_Auth):
    """Lets requests through for which the gateway vouches; the arguments are those of ``doorward.asgi.GatewayAuth``.

    A client's ``X_Doorward_Assertion``, which becomes the same name in ``environ``, is dropped by the gateway as any other spelling, and
    would have to be signed by it besides.
    """

    def __init__(
        self,
        app: WSGIApplication,
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

    def identify(self, environ: Mapping[str, Any]) -> Claims | None:
        value = environ.get("HTTP_X_DOORWARD_ASSERTION")
        if self.optional and value is None:
            return None
        return self.guard.check([] if value is None else [value])


def _answer(refused: Refused, start_response: StartResponse) -> Iterable[bytes]:
    body = json.dumps(refused.problem()).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))), *refused.headers.items()]
    start_response(f"{refused.status} {HTTPStatus(refused.status).phrase}", headers)
    return [body]
