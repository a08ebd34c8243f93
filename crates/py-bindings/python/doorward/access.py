"""Access decisions: a token from ``Authorization``, requirements on its claims, and the answer to a refused request (RFC 6750 §3).

The adapters for frameworks (``doorward.fastapi``, ``doorward.asgi``, ``doorward.wsgi``, ``doorward.flask``) are thin layers over this
module; a framework that has none needs :class:`Guard` only::

    guard = Guard(verifier, roles=["scorer", "ml-admin"], scopes=all_of("score", "explain"))
    try:
        claims = guard.check(request.headers.get_all("Authorization"))
    except Refused as refused:
        return refused.status, refused.headers, refused.problem()

Within a requirement every key must hold; within a key any value does, as in the gateway's rules. :func:`all_of` asks for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from . import Claims, ConfigurationError, InvalidToken, IssuerMisconfigured, IssuerUnavailable, SubjectPattern, Verifier

__all__ = ["Guard", "Refused", "Require", "all_of"]


class all_of(tuple[str, ...]):
    """Every one of these names, where a list means any of them."""

    __slots__ = ()

    def __new__(cls, *names: str) -> all_of:
        if not all(isinstance(name, str) for name in names):
            raise TypeError("invalid names: pass them one after the other, as in all_of('score', 'explain')")
        return super().__new__(cls, names)


Names = str | Iterable[str]


def _names(given: Names | None) -> tuple[str, ...] | None:
    if given is None or isinstance(given, all_of):
        return given
    names = one_or_more(given)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"invalid names {names!r}: each must be a string")
    return names


def _patterns(given: Names) -> tuple[SubjectPattern, ...]:
    return tuple(SubjectPattern(pattern) for pattern in one_or_more(given))


def one_or_more(given: Names) -> tuple[str, ...]:
    """The texts that are given: one alone is not the sequence of its characters."""
    return (given,) if isinstance(given, str) else tuple(given)


def _holds(wanted: tuple[str, ...], has: Iterable[str]) -> bool:
    own = frozenset(has)
    return own.issuperset(wanted) if isinstance(wanted, all_of) else not own.isdisjoint(wanted)


@dataclass(frozen=True)
class Require:
    """Requirements on claims. Every key that is given must hold; within a key any value does, or every one of :func:`all_of`.

    Args:
        roles: roles of the realm.
        client_roles: roles at clients, by the client's id.
        groups: groups, by the names the tokens have for them.
        scopes: scopes.
        clients: clients the token was issued to.
        subjects: patterns for the subjects of jobs, by the identifier of their issuer (:class:`doorward.SubjectPattern`); one that could be
            read in two ways raises :class:`ConfigurationError`. For access tokens: an assertion names the gateway as its issuer.
    """

    roles: Names | None = None
    client_roles: Mapping[str, Names] | None = None
    groups: Names | None = None
    scopes: Names | None = None
    clients: Names | None = None
    subjects: Mapping[str, Names] | None = None

    def __post_init__(self) -> None:
        for key in ("roles", "groups", "scopes", "clients"):
            object.__setattr__(self, key, _names(getattr(self, key)))
        at = self.client_roles
        object.__setattr__(self, "client_roles", None if at is None else {name: _names(roles) for name, roles in at.items()})
        of = self.subjects
        object.__setattr__(self, "subjects", None if of is None else {issuer: _patterns(given) for issuer, given in of.items()})

    def missing(self, claims: Claims) -> str | None:
        """Description of the requirement that the claims do not meet; ``None`` if they meet all."""
        asked: list[tuple[str, Any, Iterable[str]]] = [
            ("role", self.roles, claims.roles),
            ("group", self.groups, claims.groups),
            ("scope", self.scopes, claims.scopes),
            ("client", self.clients, [claims.client] if claims.client else []),
        ]
        for at, roles in (self.client_roles or {}).items():
            asked.append((f"role at {at}", roles, claims.client_roles(at)))
        for kind, wanted, has in asked:
            if wanted is not None and not _holds(wanted, has):
                word = "all of" if isinstance(wanted, all_of) else "one of"
                return f"the {kind} must be {word}: {', '.join(wanted) or 'none (the list is empty)'}"
        if self.subjects is not None:
            patterns: Any = self.subjects.get(claims.issuer, ())
            if not any(pattern.matches(claims.subject) for pattern in patterns):
                wanted = ", ".join(map(str, patterns)) or f"none of the issuer {claims.issuer}"
                return f"the subject must be one of: {wanted} (it is {claims.subject})"
        return None


# Two exceptions are equal only if they are the same, as all exceptions; so this one can be hashed too.
@dataclass(eq=False)
class Refused(Exception):
    """A request that is not let through, and what to answer."""

    status: int
    """The HTTP status: 400, 401, 403 or 503."""

    code: str
    """A stable word for the cause."""

    detail: str
    """The cause in a sentence, fit to be sent."""

    headers: dict[str, str] = field(default_factory=dict)
    """``WWW-Authenticate`` or ``Retry-After``, and ``Cache-Control``."""

    def problem(self) -> dict[str, Any]:
        """The body, as ``application/problem+json`` (RFC 9457)."""
        return {"status": self.status, "title": self.code, "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


_KINDS = {"access_token": ("access tokens", "Issuer(…).verifier(…)"), "assertion": ("the gateway's assertions", "Gateway(…).verifier(…)")}


class Guard:
    """Lets requests through that present a good token with the right claims.

    Args:
        verifier: verifies the tokens.
        roles: see :class:`Require`; likewise the others.
        any: requirements of which one is enough, besides those given here.
        realm: the name of the protected space in challenges (RFC 9110 §11.5).

    Raises:
        ConfigurationError: if the verifier is the gateway's: assertions are not access tokens.
    """

    _judges: ClassVar[str] = "access_token"

    def __init__(
        self,
        verifier: Verifier,
        *,
        roles: Names | None = None,
        client_roles: Mapping[str, Names] | None = None,
        groups: Names | None = None,
        scopes: Names | None = None,
        clients: Names | None = None,
        subjects: Mapping[str, Names] | None = None,
        any: Sequence[Require] = (),
        realm: str | None = None,
    ) -> None:
        if verifier.kind != self._judges:
            (judged, _), (wanted, remedy) = _KINDS[verifier.kind], _KINDS[self._judges]
            raise ConfigurationError(f"invalid verifier: it verifies {judged}, not {wanted}", code="verifier", remedy=f"pass {remedy}")
        self.verifier = verifier
        self.require = Require(roles, client_roles, groups, scopes, clients, subjects)
        self.any = tuple(any)
        for requirement in self.any:
            if not isinstance(requirement, Require):
                raise TypeError(f"invalid requirement {requirement!r} in any=: write Require(roles='scorer')")
        self.realm = realm

    def check(self, authorization: Sequence[str] | None) -> Claims:
        """The claims of the caller that sent these values of ``Authorization``, or this one.

        Raises:
            Refused: if the request is not to be let through.
        """
        return self.allow(self.verified(authorization))

    async def check_async(self, authorization: Sequence[str] | None) -> Claims:
        """:meth:`check`, to be awaited."""
        return self.allow(await self.verified_async(authorization))

    def verified(self, authorization: Sequence[str] | None) -> Claims:
        """:meth:`check` without the requirements: it identifies the caller only."""
        token = self.token(authorization)
        try:
            return self.verifier.verify(token)
        except (InvalidToken, IssuerMisconfigured, IssuerUnavailable) as error:
            raise self.refused(error) from error

    async def verified_async(self, authorization: Sequence[str] | None) -> Claims:
        """:meth:`verified`, to be awaited."""
        token = self.token(authorization)
        try:
            return await self.verifier.verify_async(token)
        except (InvalidToken, IssuerMisconfigured, IssuerUnavailable) as error:
            raise self.refused(error) from error

    def token(self, authorization: Sequence[str] | None) -> str:
        """The token of a request that has one (RFC 6750 §2.1)."""
        values = one_or_more(authorization or ())
        if len(values) > 1:
            raise self._refuse(400, "invalid_request", "there is more than one Authorization header")
        scheme, _, token = (values[0] if values else "").partition(" ")
        if scheme.lower() != "bearer":
            # RFC 6750 §3.1: no error code for a request without a token.
            raise self._refuse(401, "no_credentials", "send an access token: Authorization: Bearer …", error=None)
        if not token.strip():
            raise self._refuse(400, "invalid_request", "the Authorization header holds no token")
        return token.strip()

    def refused(self, error: InvalidToken | IssuerMisconfigured | IssuerUnavailable) -> Refused:
        """The answer to a token that is not accepted, or cannot be checked."""
        if isinstance(error, IssuerMisconfigured):
            return Refused(500, error.code, "tokens cannot be verified: the service and its issuer do not fit each other", {"Cache-Control": "no-store"})
        if isinstance(error, IssuerUnavailable):
            pause = str(max(1, math.ceil(error.retry_after or 1)))
            detail = "tokens cannot be verified now; try again later"
            return Refused(503, error.code, detail, {"Retry-After": pause, "Cache-Control": "no-store"})
        return self._refuse(401, error.code, error.message, error="invalid_token")

    def allow(self, claims: Claims) -> Claims:
        """The claims, if they say what is required."""
        missing = self.require.missing(claims)
        if missing is None and self.any:
            lacks = [requirement.missing(claims) for requirement in self.any]
            if None not in lacks:
                missing = "; or ".join(lack for lack in lacks if lack)
        if missing is not None:
            raise self._refuse(403, "insufficient_scope", missing, scope=True)
        return claims

    def _refuse(self, status: int, code: str, detail: str, *, error: str | None = "", scope: bool = False) -> Refused:
        attributes = {}
        if self.realm is not None:
            attributes["realm"] = self.realm
        if error is not None:
            attributes["error"] = error or code
            attributes["error_description"] = detail
        if self.require.scopes and (scope or error is None):
            attributes["scope"] = " ".join(self.require.scopes)
        shown = ", ".join(f'{name}="{_plain(value)}"' for name, value in attributes.items())
        challenge = f"Bearer {shown}".strip()
        return Refused(status, code, detail, {"WWW-Authenticate": challenge, "Cache-Control": "no-store"})


class GatewayGuard(Guard):
    """The same for requests that the gateway vouches for: the values are those of ``X-Doorward-Assertion``. Refusals have no challenge, since
    a caller cannot make an assertion.
    """

    _judges = "assertion"

    def token(self, values: Sequence[str] | None) -> str:
        """The one assertion of a request."""
        values = one_or_more(values or ())
        if len(values) != 1:
            detail = "there is more than one assertion" if values else "the request did not come through the gateway"
            raise self._refuse(401, "no_assertion", detail)
        return values[0]

    def would_say(self, claims: Claims) -> bool:
        """True if this verifier would make the same claims of their request, which another may have verified."""
        verifier = self.verifier
        return claims.issuer == verifier.issuer and not claims.audience.isdisjoint(verifier.audience)

    def _refuse(self, status: int, code: str, detail: str, *, error: str | None = "", scope: bool = False) -> Refused:
        refused = super()._refuse(status, code, detail, error=error, scope=scope)
        del refused.headers["WWW-Authenticate"]
        return refused


def _plain(text: str) -> str:
    """The characters that RFC 6750 §3 allows in a value."""
    swapped = text[:240].replace('"', "'").replace("\\", "/")
    return "".join(c if " " <= c <= "~" else "?" for c in swapped)
