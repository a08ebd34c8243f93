"""Errors as exceptions: one class for each cause that a caller can act on.

They mirror the errors of the Rust libraries: ``code`` is the same stable word everywhere (in the gateway's log too), ``message``
says what is wrong, ``remedy`` what to do in terms of this package, and ``str(error)`` both, as tracebacks do. No exception ever holds a token or a secret, and all of them can be pickled.
"""

from __future__ import annotations

from datetime import datetime


class DoorwardError(Exception):
    """Base class of the errors that ``doorward`` raises."""

    code: str = "error"
    """A stable word for the cause, fit for logs and metrics."""

    remedy: str | None = None
    """The remedy, in a sentence. It is in ``str(error)`` or in the notes of the error, so that a traceback shows it."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        for name, value in facts.items():
            setattr(self, name, value)
        if self.remedy is not None and self.remedy not in str(self):
            # `add_note` of Python 3.11 and later.
            self.__notes__ = [f"remedy: {self.remedy}"]

    @property
    def message(self) -> str:
        """The problem, fit to be sent to a caller."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        # A message of the libraries ends with a remedy already: problem; remedy.
        if self.remedy is None or "; " in self.message:
            return self.message
        return f"{self.message}; {self.remedy}"


class ConfigurationError(DoorwardError, ValueError):
    """An argument, a file or a variable of the environment cannot be used."""

    code = "configuration"


class IssuerMisconfigured(ConfigurationError):
    """The issuer cannot be used until its configuration is corrected, here or there: a wrong address, a document with a mistake, a set
    without usable keys. Waiting does not help; a correction at the issuer is noticed."""

    code = "issuer_misconfigured"

    member: str | None = None
    """The setting (``url``, ``discovery_url``) or the member of the issuer's metadata with the mistake."""


class IssuerUnavailable(DoorwardError):
    """The issuer does not answer now, or its answer is invalid. Nothing is known to be wrong with the token: answer 503, try later."""

    code = "issuer_unavailable"

    retry_after: float | None = None
    """Seconds after which to try again, where that is known."""


class TokenRequestRefused(DoorwardError):
    """The issuer gives no token; asking again does not help until the client is set up differently (RFC 6749 §5.2)."""

    code = "token_request_refused"

    error: str | None = None
    """The error code of the answer: ``invalid_client``, ``invalid_scope``, …"""

    description: str | None = None
    """``error_description`` of the answer."""

    status: int | None = None
    """The HTTP status of the answer."""


class LoginRefused(DoorwardError):
    """A login did not succeed: the browser's answer does not belong to it, or the issuer or the person refused. Begin another login."""

    code = "login_refused"

    error: str | None = None
    """The error code of the issuer, if it refused (RFC 6749 §4.1.2.1): ``access_denied``, ``login_required``, …"""

    description: str | None = None
    """``error_description`` of the issuer's answer: the issuer's text, which may be shown but not trusted."""


class InvalidToken(DoorwardError):
    """A token is not accepted: answer 401 (RFC 6750 §3.1, ``invalid_token``)."""

    code = "invalid_token"

    claim: str | None = None
    """The claim that failed, if it is one: ``exp``, ``aud``, …"""


class TokenTooLarge(InvalidToken):
    """Larger than any token of an issuer; it was refused before it was decoded."""

    code = "too_large"


class MalformedToken(InvalidToken):
    """Not a signed JWT in compact form (RFC 7515 §7.1), or one that two parsers could read differently."""

    code = "malformed"


class AlgorithmNotAllowed(InvalidToken):
    """``alg`` is unknown, unsigned, symmetric or not among those accepted here (RFC 8725 §3.1)."""

    code = "algorithm_not_allowed"


class HeaderNotAllowed(InvalidToken):
    """The header holds a member that would change how the token is read or which key is trusted."""

    code = "header_not_allowed"


class WrongTokenType(InvalidToken):
    """Another kind of JWT than an access token, such as an ID token (RFC 8725 §3.11)."""

    code = "wrong_type"
    claim = "typ"


class SenderConstrained(InvalidToken):
    """The token is bound to a key or certificate whose possession is not proved here (RFC 7800 §3.1)."""

    code = "sender_constrained"
    claim = "cnf"


class UnknownKey(InvalidToken):
    """No usable key of the issuer fits: the token is another issuer's, or its key was withdrawn."""

    code = "unknown_key"


class BadSignature(InvalidToken):
    """The signature does not fit the key."""

    code = "bad_signature"


class InvalidClaim(InvalidToken):
    """A registered claim has the wrong type or an impossible value."""

    code = "invalid_claim"


class MissingClaim(InvalidToken):
    """A claim that an access token must have is absent."""

    code = "missing_claim"


class ForbiddenClaim(InvalidToken):
    """A claim that this kind of token must not have."""

    code = "forbidden_claim"


class WrongIssuer(InvalidToken):
    """``iss`` is not this issuer, byte for byte."""

    code = "wrong_issuer"
    claim = "iss"


class WrongAudience(InvalidToken):
    """``aud`` names none of the audiences accepted here."""

    code = "wrong_audience"
    claim = "aud"

    expected: tuple[str, ...] = ()
    """The audiences accepted here."""

    found: tuple[str, ...] = ()
    """The token's audiences, cut and escaped."""


class TokenExpired(InvalidToken):
    """Past ``exp`` by more than the leeway: a fresh token would pass."""

    code = "expired"
    claim = "exp"

    expires_at: datetime | None = None
    """Time at which it ended."""


class TokenNotYetValid(InvalidToken):
    """Before ``nbf`` by more than the leeway."""

    code = "not_yet_valid"
    claim = "nbf"


class TokenIssuedInFuture(InvalidToken):
    """``iat`` lies in the future by more than the leeway."""

    code = "issued_in_future"
    claim = "iat"


class TokenInactive(InvalidToken):
    """The issuer was asked, and says that the token does not count (RFC 7662 §2.2)."""

    code = "inactive"


class WrongAuthorizedParty(InvalidToken):
    """``azp`` of an ID token is not this client (OpenID Connect Core 1.0 §3.1.3.7)."""

    code = "wrong_authorized_party"
    claim = "azp"


class WrongNonce(InvalidToken):
    """``nonce`` is not the one of this login."""

    code = "wrong_nonce"
    claim = "nonce"


class WrongHash(InvalidToken):
    """``at_hash`` or ``c_hash`` does not fit the access token or code it came with."""

    code = "wrong_hash"


class WrongSubject(InvalidToken):
    """``sub`` is another person than expected."""

    code = "wrong_subject"
    claim = "sub"


class AuthenticationTooOld(InvalidToken):
    """The person signed in longer ago than was asked for."""

    code = "authentication_too_old"
    claim = "auth_time"


__all__ = [
    "DoorwardError",
    "ConfigurationError",
    "IssuerMisconfigured",
    "IssuerUnavailable",
    "TokenRequestRefused",
    "LoginRefused",
    "InvalidToken",
    "TokenTooLarge",
    "MalformedToken",
    "AlgorithmNotAllowed",
    "HeaderNotAllowed",
    "WrongTokenType",
    "SenderConstrained",
    "UnknownKey",
    "BadSignature",
    "InvalidClaim",
    "MissingClaim",
    "ForbiddenClaim",
    "WrongIssuer",
    "WrongAudience",
    "TokenExpired",
    "TokenNotYetValid",
    "TokenIssuedInFuture",
    "TokenInactive",
    "WrongAuthorizedParty",
    "WrongNonce",
    "WrongHash",
    "WrongSubject",
    "AuthenticationTooOld",
]

# The module they are imported from, which tracebacks show.
for _name in __all__:
    globals()[_name].__module__ = "doorward"
