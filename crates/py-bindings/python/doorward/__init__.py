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
from ._native import Claims, Gateway, Issuer, TokenSource, Verifier
from ._native import __version__ as __version__

_Mapping.register(Claims)

__all__ = [
    "AlgorithmNotAllowed",
    "AuthenticationTooOld",
    "BadSignature",
    "Claims",
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
    "MalformedToken",
    "MissingClaim",
    "SenderConstrained",
    "TokenExpired",
    "TokenInactive",
    "TokenIssuedInFuture",
    "TokenNotYetValid",
    "TokenRequestRefused",
    "TokenSource",
    "TokenTooLarge",
    "UnknownKey",
    "Verifier",
    "WrongAudience",
    "WrongAuthorizedParty",
    "WrongHash",
    "WrongIssuer",
    "WrongNonce",
    "WrongSubject",
    "WrongTokenType",
]
