"""OpenID Connect for jobs, APIs and notebooks.

>>> import doorward
>>> issuer = doorward.Issuer("https://keycloak.example/realms/platform")

An API verifies the tokens it is shown::

    verifier = issuer.verifier(audience="churn")
    claims = verifier.verify(token)  # raises doorward.TokenExpired, WrongAudience, …: all InvalidToken
    claims.subject, claims.roles, claims["department"]

A job gets its own, fetched once however many threads ask, and kept fresh::

    tokens = issuer.client_credentials("airflow-run", secret_file="/run/secrets/airflow", scope="score")
    requests.get(url, auth=tokens)

A web application signs people in::

    client = doorward.Client(issuer, "portal", secret_file="/run/secrets/portal")
    pending = client.begin_login("https://portal.example/callback")  # redirect the browser to pending.url
    login = client.finish_login(query, pending)  # login.claims, login.access_token

Everything has an ``…_async`` twin that never holds up the event loop, and works in a forked child. Adapters for HTTP clients and
frameworks are modules of their own, imported when used: ``doorward.httpx``, ``doorward.fastapi``, …
"""

from __future__ import annotations

from collections.abc import Mapping as _Mapping

from ._errors import (
    DoorwardError,
    ConfigurationError,
    IssuerMisconfigured,
    IssuerUnavailable,
    TokenRequestRefused,
    LoginRefused,
    InvalidToken,
    TokenTooLarge,
    MalformedToken,
    AlgorithmNotAllowed,
    HeaderNotAllowed,
    WrongTokenType,
    SenderConstrained,
    UnknownKey,
    BadSignature,
    InvalidClaim,
    MissingClaim,
    ForbiddenClaim,
    WrongIssuer,
    WrongAudience,
    TokenExpired,
    TokenNotYetValid,
    TokenIssuedInFuture,
    TokenInactive,
    WrongAuthorizedParty,
    WrongNonce,
    WrongHash,
    WrongSubject,
    AuthenticationTooOld,
)
from ._native import Claims, Client, Gateway, Issuer, PendingLogin, SubjectPattern, TokenSet, TokenSource, Verifier
from ._native import __version__ as __version__
from ._unverified import Unverified, unverified

_Mapping.register(Claims)

__all__ = [
    "AlgorithmNotAllowed",
    "AuthenticationTooOld",
    "BadSignature",
    "Claims",
    "Client",
    "ConfigurationError",
    "DoorwardError",
    "ForbiddenClaim",
    "Gateway",
    "HeaderNotAllowed",
    "InvalidClaim",
    "InvalidToken",
    "Issuer",
    "IssuerMisconfigured",
    "IssuerUnavailable",
    "LoginRefused",
    "MalformedToken",
    "MissingClaim",
    "PendingLogin",
    "SenderConstrained",
    "SubjectPattern",
    "TokenExpired",
    "TokenInactive",
    "TokenIssuedInFuture",
    "TokenNotYetValid",
    "TokenRequestRefused",
    "TokenSet",
    "TokenSource",
    "TokenTooLarge",
    "UnknownKey",
    "Unverified",
    "Verifier",
    "WrongAudience",
    "WrongAuthorizedParty",
    "WrongHash",
    "WrongIssuer",
    "WrongNonce",
    "WrongSubject",
    "WrongTokenType",
    "unverified",
]
