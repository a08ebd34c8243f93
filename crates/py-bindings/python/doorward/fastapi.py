"""Access tokens in `FastAPI`_: a dependency that verifies, shows in OpenAPI, and answers as RFC 6750 says.

::

    issuer = doorward.Issuer("https://keycloak.example/realms/platform")
    caller = Bearer(issuer.verifier(audience="churn"), roles=["scorer", "ml-admin"])

    @app.get("/score", responses=caller.responses)
    async def score(claims: Annotated[doorward.Claims, Depends(caller)]):
        return {"hello": claims.subject}

``Security(caller, scopes=["score"])`` asks for all of these scopes, besides what ``Bearer`` itself asks for. A WebSocket is refused before
it is accepted.

.. _FastAPI: https://fastapi.tiangolo.com
"""

# Not with `from __future__ import annotations`: FastAPI reads the annotations of `Bearer.__call__`.
from ._floor import needs

needs("fastapi", "0.115.6", extra="fastapi")

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from . import Claims, Verifier
from .access import Guard, Names, Refused, Require, all_of

__all__ = ["Bearer", "Require", "all_of"]


class Bearer(SecurityBase):
    """A dependency whose value is the :class:`doorward.Claims` of the caller.

    Args:
        verifier: verifies the tokens.
        roles: roles of the realm, one of which is needed, or :func:`all_of` them; likewise the others (see ``doorward.access``).
        client_roles: roles at clients, by the client's id.
        groups: groups.
        scopes: scopes.
        clients: clients the token was issued to.
        any: requirements of which one is enough, besides those given here.
        realm: the name of the protected space in challenges.
        scheme_name: its name in OpenAPI.
        description: what OpenAPI says of it.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        roles: Names | None = None,
        client_roles: Mapping[str, Names] | None = None,
        groups: Names | None = None,
        scopes: Names | None = None,
        clients: Names | None = None,
        any: Sequence[Require] = (),
        realm: str | None = None,
        scheme_name: str = "Bearer",
        description: str | None = None,
    ) -> None:
        self.guard = Guard(
            verifier,
            roles=roles,
            client_roles=client_roles,
            groups=groups,
            scopes=scopes,
            clients=clients,
            any=any,
            realm=realm,
        )
        about = description or f"An access token of {' or '.join(verifier.issuers)} for {' or '.join(verifier.audience)}."
        self.model = HTTPBearerModel(bearerFormat="JWT", description=about)
        self.scheme_name = scheme_name

    async def __call__(self, request: HTTPConnection, security_scopes: SecurityScopes) -> Claims:
        try:
            claims = await self.guard.check_async(request.headers.getlist("authorization"))
            if security_scopes.scopes:
                asked = Guard(self.guard.verifier, scopes=all_of(*security_scopes.scopes), realm=self.guard.realm)
                asked.allow(claims)
        except Refused as refused:
            raise HTTPException(refused.status, refused.detail, refused.headers) from refused
        return claims

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """Answers that this dependency may give, for ``responses=`` of a route, so that its OpenAPI is complete."""
        detail = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
        content = {"application/json": {"schema": detail}}
        challenge = {"WWW-Authenticate": {"description": "RFC 6750 §3", "schema": {"type": "string"}}}
        pause = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
        return {
            400: {"description": "More than one token, or an empty one", "headers": challenge, "content": content},
            401: {"description": "No token, or one that is not accepted", "headers": challenge, "content": content},
            403: {"description": "A good token without the right claims", "headers": challenge, "content": content},
            503: {"description": "Tokens cannot be verified now", "headers": pause, "content": content},
        }
