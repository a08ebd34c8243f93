from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal

from typing_extensions import Never, Self, disjoint_base

__all__ = ["TestIssuer", "__version__"]

__version__: str

_Texts = str | Iterable[str]
_Span = float | timedelta

@disjoint_base
class TestIssuer:
    """The native part of :class:`doorward.testing.Issuer`."""

    def __new__(cls, *, realm: str = "dev", token_lifetime: _Span = ..., algorithm: str = "RS256", product: str = "keycloak") -> Self: ...
    @property
    def url(self) -> str:
        """The issuer identifier: ``http://127.0.0.1:PORT/realms/REALM``."""

    def add_client(
        self,
        client_id: str,
        secret: str | None = None,
        *,
        public_key: str | None = None,
        audience: _Texts = ...,
        scopes: _Texts = ...,
        roles: _Texts = ...,
        client_roles: Mapping[str, _Texts] | None = None,
        token_lifetime: _Span | None = None,
        redirect_uri: _Texts = ...,
        opaque_access_tokens: bool = False,
    ) -> None:
        """Add a client, or change it from now on.

        Args:
            client_id: its id.
            secret: its secret.
            public_key: instead of a secret, the public key in PEM whose private half signs its assertions (``private_key_jwt``).
            audience: audiences of the tokens it gets, besides Keycloak's own.
            scopes: words it may ask for, besides the standard ones.
            roles: realm roles in its own tokens (client credentials).
            client_roles: roles at clients in its own tokens.
            token_lifetime: how long its tokens live, in seconds, where that differs from the issuer's.
            redirect_uri: redirect URIs of a login; ``*`` matches any port.
            opaque_access_tokens: its access tokens are not JWTs: only the issuer can read them (RFC 7662).
        """

    def add_user(
        self,
        username: str,
        *,
        password: str | None = None,
        subject: str | None = None,
        name: str | None = None,
        email: str | None = None,
        roles: _Texts = ...,
        client_roles: Mapping[str, _Texts] | None = None,
        groups: _Texts = ...,
        claims: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a person, or change them. The password is the user name unless given."""

    def _mint(self, kind: str, about: str, options: dict[str, Any]) -> str: ...
    def log_in(self, username: str, client_id: str = "client", *, scope: _Texts = ...) -> dict[str, Any]:
        """A whole token set for a person who is known, in a session of their own, as the token endpoint would answer it.

        Unlike a minted token it is live: it can be exchanged, introspected, refreshed and revoked.

        Raises:
            ValueError: if person, client or scope are unknown.
        """

    def sign_in(self, authorization_url: str, username: str) -> str:
        """Sign in at this page as a browser does. Returns the URL that the browser is sent back to.

        Raises:
            ValueError: if the request or the person is not accepted.
        """

    def allow_device(self, user_code: str, username: str) -> bool:
        """Type the code of a device (RFC 8628) and agree, as a person does. Returns whether there is such a code."""

    def rotate(self) -> str:
        """Sign with a new key from now on; the former stays published. Returns the new ``kid``."""

    def remove_old_keys(self) -> None:
        """Publish the current signing key only."""

    @property
    def key_id(self) -> str:
        """The ``kid`` that new tokens carry."""

    def down(self) -> None:
        """Stop listening and break every connection. Keys, sessions and counters stay."""

    def up(self) -> None:
        """Listen again, at the same address."""

    def fail(
        self,
        endpoint: Literal["all", "discovery", "keys", "token", "userinfo", "introspection", "revocation"] = "token",
        *,
        status: int | None = None,
        delay: _Span | None = None,
        answer: Literal["cut off", "drip", "garbage", "html", "huge", "redirect"] | None = None,
    ) -> None:
        """Misbehave from now on, in one of these ways, until :meth:`heal`.

        Args:
            endpoint: where.
            status: answer with this HTTP status and do nothing else.
            delay: answer this many seconds later.
            answer: break off in the middle, send bytes one by one, no JSON, a page, 64 MiB, or a redirect.
        """

    def heal(self) -> None:
        """Behave again."""

    def requests(
        self,
        endpoint: Literal["all", "discovery", "keys", "token", "userinfo", "introspection", "revocation"] = "token",
    ) -> int:
        """Number of requests to this endpoint, those that failed on purpose included."""

    def close(self) -> None:
        """Stop for good. Done twice it does nothing the second time."""

    def __reduce__(self) -> Never: ...
