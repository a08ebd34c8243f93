"""A real OpenID provider in the test process.

It listens on loopback, signs with a key of its own, speaks discovery, client credentials, token exchange and the rest, and does what
tests need: tokens that are wrong in one chosen way, keys that change, an issuer that is down, slow or confused.

>>> with Issuer() as issuer:
...     verifier = issuer.verifier(audience="churn")
...     claims = verifier.verify(issuer.mint("alice", audience="churn", roles=["data-scientist"]))
...     sorted(claims.roles)
['data-scientist']

With pytest, the fixture ``issuer`` is one of these (see ``doorward_testing.pytest_plugin``). The package ``doorward``, which shows
:class:`Issuer` as ``doorward.testing.Issuer``, is needed by :meth:`Issuer.verifier` alone: the service under test may verify
with any library, by ``issuer.url``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from . import _native
from ._native import __version__ as __version__

if TYPE_CHECKING:
    from typing_extensions import Self

    from doorward import Verifier

__all__ = ["Algorithm", "Product", "Issuer"]

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Algorithms an issuer can sign with (RFC 7518 §3.1, RFC 8037 §3.1)."""


Product = Literal[
    "keycloak", "entra-id", "google", "okta", "auth0", "gitlab", "authentik", "zitadel", "dex", "cognito", "adfs"
]
"""Providers whose documents and tokens an issuer can imitate."""


class Issuer(_native.TestIssuer):
    """A provider that listens until it is closed.

    It knows the client ``client`` with the secret ``secret`` from the start. Users are added when a token is minted for them, or
    by :meth:`add_user`.

    Args:
        realm: the last part of its URL, ``http://127.0.0.1:PORT/realms/REALM``.
        token_lifetime: how long access tokens live, in seconds or as a ``timedelta``.
        algorithm: what it signs with, such as ``ES256``.
        product: the provider that its documents and tokens look like, such as ``okta``.

    Raises:
        OSError: if it cannot listen.
        ValueError: if the algorithm or the product is unknown.
    """

    def __new__(
        cls,
        *,
        realm: str = "dev",
        token_lifetime: float | timedelta = 300.0,
        algorithm: Algorithm = "RS256",
        product: Product = "keycloak",
    ) -> Self:
        issuer = super().__new__(cls, realm=realm, token_lifetime=token_lifetime, algorithm=algorithm, product=product)
        issuer.add_client("client", "secret")
        return issuer

    def mint(
        self,
        username: str = "alice",
        *,
        kind: Literal["access", "id", "refresh", "logout"] = "access",
        client: str = "client",
        audience: str | Iterable[str] | None = None,
        scope: str | Iterable[str] | None = None,
        roles: str | Iterable[str] | None = None,
        client_roles: Mapping[str, str | Iterable[str]] | None = None,
        groups: str | Iterable[str] | None = None,
        claims: Mapping[str, Any] | None = None,
        without: str | Iterable[str] | None = None,
        header: Mapping[str, Any] | None = None,
        issuer: str | None = None,
        expires_in: float | timedelta | None = None,
        not_before_in: float | timedelta | None = None,
        expired: bool = False,
        wrong_key: bool = False,
        unsigned: bool = False,
        hmac_with_public_key: bool = False,
        algorithm: Algorithm | None = None,
    ) -> str:
        """Sign a token for a person, valid or wrong in the way asked for.

        Args:
            username: the user it is about, added if unknown.
            kind: what kind of token.
            client: which client it was issued to (``azp``; ``aud`` of an ID token).
            audience: exactly this ``aud``; the client's own otherwise.
            scope: exactly this ``scope``: words, or one text.
            roles: exactly these roles of the realm (``realm_access.roles``).
            client_roles: exactly these roles at clients (``resource_access``).
            groups: exactly these groups.
            claims: claims set to these JSON values, whatever they were.
            without: claims left out.
            header: members of the header set to these values; the signature stays what it is.
            issuer: another ``iss``.
            expires_in: ends this many seconds from now.
            not_before_in: begins this many seconds from now (``nbf``).
            expired: expired an hour ago.
            wrong_key: signed with a key that is not published, under the ``kid`` of the one that is.
            unsigned: ``alg: none`` and no signature.
            hmac_with_public_key: ``alg: HS256`` with the public key as the shared secret: the classic confusion.
            algorithm: another algorithm of the same key.

        Raises:
            ValueError: if the client is unknown, or an option has no such value.
        """
        self._know(username)
        options = {
            "client": client,
            "audience": audience,
            "scope": scope,
            "roles": roles,
            "client_roles": dict(client_roles) if client_roles is not None else None,
            "groups": groups,
            # Last of the claims: these values override those of the options before.
            "claims": dict(claims) if claims is not None else None,
            "without": without,
            "header": dict(header) if header is not None else None,
            "issuer": issuer,
            "expires_in": expires_in,
            "not_before_in": not_before_in,
            "expired": expired,
            "wrong_key": wrong_key,
            "unsigned": unsigned,
            "hmac_with_public_key": hmac_with_public_key,
            "algorithm": algorithm,
        }
        return self._mint(kind, username, {name: value for name, value in options.items() if value is not None})

    def verifier(self, audience: str | Iterable[str], **options: Any) -> Verifier:
        """``doorward.Issuer(self.url).verifier(audience, …)``: a fresh verifier that trusts this issuer.

        Raises:
            ImportError: if the package ``doorward`` is not installed.
        """
        try:
            import doorward
        except ModuleNotFoundError as missing:
            if missing.name != "doorward":
                raise
            raise ImportError("Issuer.verifier needs the package doorward: pip install doorward", name="doorward") from None
        return doorward.Issuer(self.url).verifier(audience, **options)

    def add_user(self, username: str, **about: Any) -> None:
        """Add a user, or change one; see the arguments of the native method."""
        super().add_user(username, **about)
        # Afterwards: another thread may mint for any person that is known.
        self._known().add(username)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """:meth:`down` now, :meth:`up` afterwards."""
        self.down()
        try:
            yield
        finally:
            self.up()

    def _known(self) -> set[str]:
        known: set[str] = self.__dict__.setdefault("_people", set())
        return known

    def _know(self, username: str) -> None:
        if username not in self._known():
            self.add_user(username)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"doorward.testing.Issuer({self.url!r})"
