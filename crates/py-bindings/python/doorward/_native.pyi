from collections.abc import Coroutine as _CoroutineType
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from datetime import datetime, timedelta
from os import PathLike
from typing import Any, Literal, SupportsIndex, TypeVar, final, overload

from typing_extensions import Never, Self

__all__ = [
    "Claims",
    "Client",
    "Coroutine",
    "Gateway",
    "Issuer",
    "PendingLogin",
    "REFUSAL_CODES",
    "SubjectPattern",
    "TokenSet",
    "TokenSource",
    "Verifier",
    "__version__",
    "command",
]

__version__: str
REFUSAL_CODES: tuple[str, ...]

_T = TypeVar("_T")

_Texts = str | Iterable[str]
_Span = float | timedelta
_Path = str | PathLike[str]
_Profile = Literal["keycloak", "rfc9068", "generic", "workload"]
_ClaimPaths = Mapping[str, str | Iterable[str] | None]

@final
class Issuer:
    """An OpenID provider that is trusted, called by its issuer identifier.

    Making one opens no connection: metadata and keys are fetched when first needed and kept fresh, so a program starts while its
    issuer is down. Share one between threads, tasks and forked workers.

    Args:
        url: the issuer exactly as its tokens name it in ``iss``; ``https``, or ``http`` on loopback only. With ``{tenantid}`` in it, the
            issuer of each tenant.
        discovery_url: another address of the same issuer, for a provider that this program reaches by another name than browsers do.
            Its metadata is read there, and must still name ``url`` as the issuer; its endpoints are used as it announces them.
        dangerous_allow_http: hosts off loopback with which plain ``http`` is accepted, such as ``["keycloak"]`` in a Compose project.
            Tokens and secrets can be read and changed on the way to them.
        tenants: the tenants that take the place of ``{tenantid}``, as Microsoft Entra has them; tokens of others are refused.
        profile: the form of its access tokens, for verifiers that name none; see :meth:`verifier`.
        claims: paths of names in its tokens, for verifiers that name none; see :meth:`verifier`.
        ca_file: PEM file with the only certificates to trust; else what ``SSL_CERT_FILE`` or ``REQUESTS_CA_BUNDLE`` name; else what
            the platform trusts. ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are honoured; loopback is reached
            without a proxy.
        timeout: how long one exchange with the issuer may take, in seconds or as a ``timedelta``.

    Raises:
        ConfigurationError: if the URL is not an issuer identifier, or the certificates cannot be used.
    """

    def __new__(
        cls,
        url: str,
        *,
        discovery_url: str | None = None,
        dangerous_allow_http: _Texts | None = None,
        tenants: _Texts | None = None,
        profile: _Profile = "keycloak",
        claims: _ClaimPaths | None = None,
        ca_file: _Path | None = None,
        timeout: _Span = ...,
    ) -> Self: ...
    @property
    def url(self) -> str:
        """The issuer identifier, as it was given."""

    def verifier(
        self,
        audience: _Texts,
        *,
        profile: _Profile | None = None,
        claims: _ClaimPaths | None = None,
        audience_claim: Literal["aud", "client_id"] = "aud",
        access_token_issuer: str | None = None,
        trust_domain: str | None = None,
        dangerous_accept_id_tokens: bool = False,
        dangerous_ignore_header_keys: bool = False,
        leeway: _Span = ...,
        algorithms: _Texts | None = None,
    ) -> Verifier:
        """A verifier for this issuer's access tokens.

        Args:
            audience: the name, or names, by which tokens call this service (``aud``); one of them is enough.
            profile: ``keycloak`` takes access tokens as Keycloak writes them (and RFC 9068's), ``rfc9068`` the standard's only,
                ``generic`` any provider's, ``workload`` those that a platform gives its jobs (GitLab CI, GitHub Actions, Kubernetes,
                SPIFFE). The issuer's unless set. ID, refresh and logout tokens are refused by all.
            claims: paths of names in the tokens, by ``subject``, ``user_name``, ``email``, ``name``, ``roles``, ``client_roles``,
                ``groups`` and ``scopes``: ``{"roles": '"https://acme.example/app".roles'}``. A path is the exact name of a claim, or
                names joined by dots, those that hold dots in quotation marks. The others stay those of the profile.
            audience_claim: ``client_id`` takes the client that a token was issued to for its audience and requires
                ``token_use: access``: Amazon Cognito writes no ``aud``.
            access_token_issuer: the ``iss`` of access tokens, where it is another than the issuer's own, as with AD FS.
            trust_domain: the SPIFFE trust domain of the tokens, which may then lack ``iss``.
            dangerous_accept_id_tokens: accept ID tokens too, for Dex, which issues no others.
            dangerous_ignore_header_keys: ignore header members that name keys (``jku``, ``jwk``, ``x5u``, ``x5c``) instead of refusing
                the token. They are never used.
            leeway: how far clocks may differ, in seconds or as a ``timedelta``; 30 s unless set, 300 s at most.
            algorithms: accept only these, like ``["RS256", "ES256"]``. What the issuer announces for ID tokens unless set, or every asymmetric one if it announces none; ``none`` and HMAC never.

        Raises:
            ConfigurationError: if an argument has no such value.
        """

    def client_credentials(
        self,
        client_id: str,
        *,
        secret: str | None = None,
        secret_file: _Path | None = None,
        private_key_file: _Path | None = None,
        key_id: str | None = None,
        key_algorithm: str | None = None,
        assertion_file: _Path | None = None,
        certificate: _Path | tuple[_Path, _Path] | None = None,
        method: Literal["client_secret_basic", "client_secret_post", "client_secret_jwt"] | None = None,
        scope: _Texts | None = None,
        audience: str | None = None,
        resource: _Texts | None = None,
        cache_dir: _Path | None = None,
    ) -> TokenSource:
        """A program's own access tokens (RFC 6749 §4.4). Nothing is requested before a token is wanted.

        Args:
            client_id: the client's id at the issuer.
            secret_file: file with the client's secret; read again at each request, so it may be rotated.
            secret: the secret itself, where there is no file.
            private_key_file: private key in PEM, or a private JWK, that signs an assertion for each request (``private_key_jwt``, RFC
                7523 §2.2). Nothing secret is sent.
            key_id: its ``kid`` at the issuer, if it has one (PEM only).
            key_algorithm: the algorithm, where the key's kind does not say it (PEM only).
            assertion_file: file with an assertion that is kept fresh, like a projected Kubernetes service-account token.
            certificate: a client certificate (RFC 8705 §2): a PEM file that also holds the key, or one for each.
            method: how a secret is used; ``client_secret_basic`` unless set.
            scope: scopes to ask for, as words or one text.
            audience: the service the token is for, where the issuer takes the parameter.
            resource: absolute URIs the token is for (RFC 8707 §2).
            cache_dir: a directory of this user alone, in which processes share the token: 1,000 short jobs make one request. Made with
                mode 0700 if absent; one that others may write to is not used, with a ``RuntimeWarning``. Best in memory, like
                ``$XDG_RUNTIME_DIR/doorward``.

        Raises:
            ConfigurationError: if not exactly one credential is given, or the key cannot be used.
        """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...

@final
class Client:
    """A program that is registered at an issuer: it signs people in, refreshes and revokes their tokens, and introspects tokens.

    Making one opens no connection. Share one between threads, tasks and forked workers. Each method has an ``…_async`` twin. A program
    that needs tokens of its own takes :meth:`Issuer.client_credentials`.

    Args:
        issuer: the issuer.
        client_id: the client's id there.
        public: true for a client without a credential (RFC 6749 §2.1): a program that cannot keep one.
        secret_file: the credential, exactly one unless the client is public; see :meth:`Issuer.client_credentials` for this and the others.
        leeway: how far clocks may differ when ID tokens are verified; 30 s unless set, 300 s at most.
        algorithms: accept only ID tokens signed with these; what the issuer announces unless set.

    Raises:
        ConfigurationError: if not exactly one credential is given, or an argument has no such value.
    """

    def __new__(
        cls,
        issuer: Issuer,
        client_id: str,
        *,
        public: bool = False,
        secret: str | None = None,
        secret_file: _Path | None = None,
        private_key_file: _Path | None = None,
        key_id: str | None = None,
        key_algorithm: str | None = None,
        assertion_file: _Path | None = None,
        certificate: _Path | tuple[_Path, _Path] | None = None,
        method: Literal["client_secret_basic", "client_secret_post", "client_secret_jwt"] | None = None,
        leeway: _Span = ...,
        algorithms: _Texts | None = None,
    ) -> Self: ...

    def begin_login(
        self,
        redirect_uri: str,
        *,
        scope: _Texts | None = None,
        prompt: str | None = None,
        max_age: _Span | None = None,
        acr_values: _Texts | None = None,
        login_hint: str | None = None,
        parameters: dict[str, str] | None = None,
    ) -> PendingLogin:
        """Begin a login (OpenID Connect Core 1.0 §3.1.2.1): authorization code with PKCE, ``state`` and ``nonce``; pushed (RFC 9126) where the
        issuer offers that.

        Redirect the browser to ``url`` of the result, and keep the result until the browser comes back.

        Args:
            redirect_uri: the address that the browser comes back to, as registered at the issuer.
            scope: scopes to ask for, as words or one text; ``openid`` is always among them.
            prompt: ``none``, ``login``, ``consent`` or ``select_account``.
            max_age: the person must have authenticated within this time, and the ID token must prove it.
            acr_values: acceptable authentication levels, best first.
            login_hint: the expected user.
            parameters: other parameters of the request, like ``{"kc_idp_hint": "corp"}``; those that the login itself sets are refused.

        Raises:
            IssuerUnavailable: to be tried again later.
            TokenRequestRefused: if the issuer does not take the request.
            ConfigurationError: if an argument has no such value, or the client's credentials cannot be read.
        """

    def begin_login_async(
        self,
        redirect_uri: str,
        *,
        scope: _Texts | None = None,
        prompt: str | None = None,
        max_age: _Span | None = None,
        acr_values: _Texts | None = None,
        login_hint: str | None = None,
        parameters: dict[str, str] | None = None,
    ) -> _CoroutineType[Any, Any, PendingLogin]:
        """:meth:`begin_login`, to be awaited."""

    def finish_login(self, query: str, pending: PendingLogin) -> TokenSet:
        """Finish a login: check the answer that the browser brought, exchange its code, and verify the ID token.

        Args:
            query: the query of the address that the browser came back to, the part after ``?``, unmodified.
            pending: what :meth:`begin_login` returned to this same browser. Use it once, and forget it.

        Returns:
            the tokens; ``claims`` of it are those of the verified ID token.

        Raises:
            LoginRefused: if the answer does not belong to this login, or the person or the issuer refused; begin another login.
            InvalidToken: if the ID token is not accepted; a subclass for each cause.
            TokenRequestRefused: if the code is not exchanged.
            IssuerUnavailable: if the issuer does not answer now; begin another login later.
        """

    def finish_login_async(self, query: str, pending: PendingLogin) -> _CoroutineType[Any, Any, TokenSet]:
        """:meth:`finish_login`, to be awaited."""

    def refresh(self, refresh_token: str, *, subject: str) -> TokenSet:
        """Get the next tokens of a login (RFC 6749 §6).

        Args:
            refresh_token: the one that was given last. Where the answer has none, it stays good; else it is used up.
            subject: ``claims.subject`` of the login; tokens about another person are refused (OpenID Connect Core 1.0 §12.2).

        Raises:
            TokenRequestRefused: with the error ``invalid_grant`` when the login is over.
            InvalidToken: if a new ID token is not accepted.
            IssuerUnavailable: to be tried again later.
        """

    def refresh_async(self, refresh_token: str, *, subject: str) -> _CoroutineType[Any, Any, TokenSet]:
        """:meth:`refresh`, to be awaited."""

    def revoke(self, token: str, *, token_type_hint: Literal["refresh_token", "access_token"] = "refresh_token") -> None:
        """Revoke a token that is no longer needed (RFC 7009). A token that the issuer does not know is no error.

        Args:
            token: a refresh token, which ends the login at most issuers, or an access token.
            token_type_hint: ``refresh_token`` or ``access_token``.

        Raises:
            TokenRequestRefused: with the error ``not_supported`` if the issuer has no such endpoint.
            IssuerUnavailable: to be tried again later.
        """

    def revoke_async(
        self, token: str, *, token_type_hint: Literal["refresh_token", "access_token"] = "refresh_token"
    ) -> _CoroutineType[Any, Any, None]:
        """:meth:`revoke`, to be awaited."""

    def user_info(self, access_token: str, *, subject: str) -> dict[str, Any]:
        """Claims about the person from the UserInfo endpoint (OpenID Connect Core 1.0 §5.3), as a dictionary.

        Args:
            access_token: an access token of the login.
            subject: ``claims.subject`` of the login; claims about another person are refused (§5.3.2).

        Raises:
            TokenRequestRefused: if the issuer does not accept the access token, or has no such endpoint.
            WrongSubject: if the claims are about another person.
            InvalidToken: if the answer is signed, but not by the issuer for this client; and if it is encrypted.
            IssuerUnavailable: to be tried again later.
        """

    def user_info_async(self, access_token: str, *, subject: str) -> _CoroutineType[Any, Any, dict[str, Any]]:
        """:meth:`user_info`, to be awaited."""

    def introspecting_verifier(
        self,
        audience: _Texts,
        *,
        profile: Literal["keycloak", "rfc9068"] = "keycloak",
        leeway: _Span = ...,
        algorithms: _Texts | None = None,
        dangerous_without_audience: bool = False,
    ) -> Verifier:
        """A verifier that asks the issuer about each token that is not a JWT (RFC 7662), as this client. JWTs are verified here, as by
        :meth:`Issuer.verifier`.

        An answer is remembered for a minute at most: that long a revoked token is still accepted.

        Args:
            audience: the name, or names, by which tokens call this service (``aud``); one of them is enough.
            profile: the profile of JWTs; see :meth:`Issuer.verifier`.
            leeway: how far clocks may differ; 30 s unless set, 300 s at most.
            algorithms: accept only JWTs signed with these; see :meth:`Issuer.verifier`.
            dangerous_without_audience: true accepts answers without ``aud``: then a token that was made for another service is accepted
                here too.

        Raises:
            ConfigurationError: if the client is public, which issuers do not answer (RFC 7662 §2.1), or an argument has no such value.
        """

    def logout_url(
        self, *, id_token: str | None = None, post_logout_redirect_uri: str | None = None, state: str | None = None
    ) -> str | None:
        """The address that ends the person's session at the issuer (OpenID Connect RP-Initiated Logout 1.0 §2), for a redirect of the
        browser; ``None`` if the issuer has none.

        Args:
            id_token: the ID token of the login; without it the issuer asks the person.
            post_logout_redirect_uri: the address that the browser comes back to, as registered at the issuer.
            state: comes back with the browser.
        """

    def logout_url_async(
        self, *, id_token: str | None = None, post_logout_redirect_uri: str | None = None, state: str | None = None
    ) -> _CoroutineType[Any, Any, str | None]:
        """:meth:`logout_url`, to be awaited."""

    @property
    def issuer(self) -> str:
        """Identifier of the issuer."""

    @property
    def client_id(self) -> str:
        """Id of the client."""

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...

@final
class PendingLogin:
    """A login under way: what to keep until the browser comes back; made by :meth:`Client.begin_login`.

    It holds secrets of the login (``state``, ``nonce``, the PKCE verifier). Keep it where this browser alone reaches it: in a session on the
    server, or :meth:`to_json` in an encrypted cookie; a cookie that is only signed shows them to the browser's user.
    """

    @property
    def url(self) -> str | None:
        """The address to redirect the browser to; ``None`` of one that was read again from its JSON."""

    @property
    def state(self) -> str:
        """``state``: finds this login among several of the same browser."""

    def to_json(self) -> str:
        """Its text, with the secrets, for :meth:`from_json`."""

    @staticmethod
    def from_json(text: str) -> PendingLogin:
        """The login whose text :meth:`to_json` wrote.

        Raises:
            ConfigurationError: if it did not write this text.
        """

    def __reduce__(self) -> Never: ...

@final
class TokenSet:
    """The tokens of a login or a refresh. Its text shows none of them."""

    @property
    def access_token(self) -> str:
        """The access token, for requests on the person's behalf."""

    @property
    def refresh_token(self) -> str | None:
        """The token for :meth:`Client.refresh`; ``None`` of a refresh means that the one that was sent stays good."""

    @property
    def id_token(self) -> str | None:
        """The ID token as it was sent, for :meth:`Client.logout_url`."""

    @property
    def claims(self) -> Claims | None:
        """The claims of the verified ID token: the person who signed in; ``None`` if a refresh brought none."""

    @property
    def expires_at(self) -> datetime | None:
        """End of the access token, in UTC, where it is known."""

    @property
    def refresh_expires_at(self) -> datetime | None:
        """End of the refresh token, in UTC, where the issuer says."""

    @property
    def scope(self) -> str | None:
        """The scope granted; ``None``: the one that was asked for."""

    @property
    def token_type(self) -> str:
        """The scheme that presents the access token: ``Bearer``."""

    def to_dict(self) -> dict[str, Any]:
        """The tokens with their ends in seconds since 1970, as a new dictionary, to be stored encrypted."""

    def __reduce__(self) -> Never: ...

@final
class Gateway:
    """The gateway, called by its public URL.

    To services behind it, it vouches for people by a short-lived signed assertion (``X-Doorward-Assertion``, good for a minute).
    Making one opens no connection: its keys are fetched when first needed and kept fresh.

    Args:
        public_url: the gateway's ``public_url``; ``https``, or ``http`` on loopback only.
        keys_url: where its keys are fetched, if not at ``public_url``: an address inside the cluster.
        endpoints: the prefix of the gateway's own URLs.
        ca_file: PEM file with the only certificates to trust; see :class:`Issuer`.
        timeout: how long one exchange may take, in seconds or as a ``timedelta``.

    Raises:
        ConfigurationError: if a URL or the certificates cannot be used.
    """

    def __new__(
        cls,
        public_url: str,
        *,
        keys_url: str | None = None,
        endpoints: str = "/oauth2",
        ca_file: _Path | None = None,
        timeout: _Span = ...,
    ) -> Self: ...
    @property
    def url(self) -> str:
        """The public URL."""

    def verifier(self, audience: _Texts, *, leeway: _Span = ...) -> Verifier:
        """A verifier for assertions. The :class:`Claims` have roles, groups and client as the gateway understood them.

        Args:
            audience: the name, or names, of the routes that lead here; an assertion for another route is refused.
            leeway: how far clocks may differ, in seconds or as a ``timedelta``; 30 s unless set.

        Raises:
            ConfigurationError: if an argument has no such value.
        """

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...

@final
class TokenSource:
    """Access tokens for a program's own requests; see :meth:`Issuer.client_credentials`.

    A token is fetched when first wanted, by one request however many threads and tasks ask; kept until it ends; refreshed in the
    background before that; and served from memory while the issuer is down. After a failure the issuer is not asked again for a while
    (1 s to 30 s, or what it asks for): until then callers get the same error at once.

    It is the ``auth`` of ``requests`` and httpx as it is: the token goes on the request, never to another origin it is redirected to,
    and a request answered with 401 is repeated once with a fresh token. Share one between threads, tasks and forked workers.
    """

    def token(self, *, rejected: str | None = None) -> str:
        """A token that is good now, to be sent at once; ask again for the next request.

        Args:
            rejected: a token that a service answered with 401. It is replaced by a fresh one, once however many callers had it, and not
                more often than sensible: if the same token comes back, there is no reason to repeat the request.

        Raises:
            IssuerUnavailable: to be tried again later.
            TokenRequestRefused: when asking again does not help.
            ConfigurationError: if the client's credentials cannot be read.
        """

    def token_async(self, *, rejected: str | None = None) -> _CoroutineType[Any, Any, str]:
        """:meth:`token`, to be awaited. A token in memory is given at once; fetching one never blocks the event loop."""

    def authorization(self, *, rejected: str | None = None) -> str:
        """The value of ``Authorization``: :meth:`token` with ``Bearer`` before it. ``rejected`` is a token without."""

    def authorization_async(self, *, rejected: str | None = None) -> _CoroutineType[Any, Any, str]:
        """:meth:`authorization`, to be awaited."""

    def reject(self, token: str, /) -> None:
        """Reports a token that a service answered with 401, without waiting: a fresh one is fetched in the background, once however many
        callers report it, and not more often than sensible. For callers that do not repeat the request; else :meth:`token` with
        ``rejected``.
        """

    @property
    def expires_at(self) -> datetime | None:
        """End of the token in memory, in UTC; ``None`` if there is none, or the issuer did not say."""

    def exchange(
        self,
        *,
        audience: _Texts | None = None,
        subject_token: str,
        scope: _Texts | None = None,
        resource: _Texts | None = None,
    ) -> TokenSource:
        """Tokens for acting on a caller's behalf (RFC 8693), kept and refreshed like any other.

        Nothing is requested before a token is wanted. The same exchange asked for again is the same source, so a handler may call this
        for each of its requests.

        Args:
            audience: the service the new token is for.
            subject_token: the access token of the caller to act for.
            scope: scopes to ask for, as words or one text.
            resource: absolute URIs the token is for (RFC 8707 §2).
        """

    def person(
        self, *, subject_token: str | None = None, refresh_token: str | None = None, scope: _Texts | None = None
    ) -> dict[str, Any]:
        """Tokens of a person for a service that goes on when the person's own token has ended.

        One request, and nothing is kept: the refresh token is the caller's to store, sealed, and to replace by the one that comes
        with each answer. Two requests with one refresh token end the session where refresh tokens are good once.

        Args:
            subject_token: an access token of the person, whichever client it was issued to. It is exchanged for a refresh token of this
                client in the same session (RFC 8693 §2.1), which the issuer has to allow: at Keycloak, "Standard token exchange"
                with a refresh token in the "same session", and this client in the token's audience.
            refresh_token: the one that was given last (RFC 6749 §6).
            scope: scopes to ask for, as words or one text.

        Returns:
            ``access_token``; ``refresh_token`` or ``None``; ``expires_at`` and ``refresh_expires_at`` in seconds since 1970, or ``None``.

        Raises:
            TokenRequestRefused: with the error ``invalid_grant`` when the person's session is over.
            IssuerUnavailable: to be tried again later.
            ConfigurationError: if not exactly one token is given, or the client's credentials cannot be read.
        """

    def person_async(
        self, *, subject_token: str | None = None, refresh_token: str | None = None, scope: _Texts | None = None
    ) -> _CoroutineType[Any, Any, dict[str, Any]]:
        """:meth:`person`, to be awaited."""

    @property
    def issuer(self) -> str:
        """Identifier of the issuer they come from."""

    @property
    def client_id(self) -> str:
        """Id of the client they belong to."""

    def __call__(self, request: Any) -> Any:
        """``auth=`` of ``requests``."""

    def sync_auth_flow(self, request: Any) -> Any:
        """``auth=`` of ``httpx.Client``."""

    def async_auth_flow(self, request: Any) -> Any:
        """``auth=`` of ``httpx.AsyncClient``."""

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...
    def __reduce_ex__(self, protocol: SupportsIndex, /) -> Never: ...

@final
class SubjectPattern:
    """A pattern for the subjects that platforms give their jobs: GitLab CI, GitHub Actions, Kubernetes, SPIFFE.

    ``*`` stands for at least one character and crosses neither ``:`` nor ``/``; everything else is compared byte by byte. A subject is unique
    within its issuer only: compare it after :attr:`Claims.issuer`, as ``doorward.access.Require(subjects=…)`` does.

    >>> main = doorward.SubjectPattern("project_path:data/*:ref_type:branch:ref:main")
    >>> main.matches("project_path:data/churn:ref_type:branch:ref:main")
    True

    Args:
        pattern: the pattern, such as ``system:serviceaccount:run:*``.

    Raises:
        ConfigurationError: if it could be read in two ways, or lets everyone in: ``**``, ``repo:*/…``.
    """

    def __new__(cls, pattern: str) -> SubjectPattern: ...
    def matches(self, subject: str) -> bool:
        """True if the pattern matches this subject."""

    def __getnewargs__(self) -> tuple[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Verifier:
    """Verifies access tokens of one issuer for one audience (:meth:`Issuer.verifier`), or assertions (:meth:`Gateway.verifier`).

    Verified tokens are remembered (8 MiB at most) until they end or the issuer's keys change: the second call with the same token
    skips the cryptography, never the checks of time. Share one between threads, tasks and forked workers.
    """

    @staticmethod
    def any_of(*verifiers: Verifier) -> Verifier:
        """A verifier of several issuers' access tokens, each by the rules of its own verifier. ``iss`` of a token chooses among them before any
        key is used; a token of another issuer is refused.

        Args:
            verifiers: one for each issuer. One of them may introspect (:meth:`Client.introspecting_verifier`): it is asked about every
                token that is not a JWT.

        Raises:
            ConfigurationError: if two are for one issuer, two introspect, or one is for assertions.
        """

    def verify(self, token: str) -> Claims:
        """Verify an access token: signature, type, issuer, audience and times (RFC 9068 §4, RFC 8725).

        The interpreter is released while the signature is checked or keys are fetched.

        Args:
            token: the token alone, without ``Bearer``.

        Raises:
            InvalidToken: if it is not accepted; a subclass for each cause.
            IssuerUnavailable: if there are no keys to check it with.
        """

    def verify_async(self, token: str) -> _CoroutineType[Any, Any, Claims]:
        """:meth:`verify`, to be awaited. A remembered token is answered at once; fetching keys never blocks the event loop."""

    @property
    def issuer(self) -> str:
        """Issuer of the tokens: its identifier, or the gateway's public URL; of several issuers, the first."""

    @property
    def issuers(self) -> list[str]:
        """All issuers whose tokens are accepted."""

    @property
    def audience(self) -> list[str]:
        """The audiences accepted; of several issuers, those of all."""

    @property
    def kind(self) -> Literal["access_token", "assertion"]:
        """Kind of token that is verified: ``"access_token"``, or ``"assertion"`` of a gateway."""

    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...

@final
class Claims(Mapping[str, Any]):
    """The claims of a verified access token, or of an assertion of the gateway: a read-only mapping, with the usual ones as typed attributes.

    Only a :class:`Verifier` makes one, so it proves that the token was verified. A value read from it
    (``claims["realm_access"]``) is a copy.
    """

    @property
    def subject(self) -> str:
        """``sub``: unique and stable at one issuer. Identify a person by :attr:`issuer` and this, and behind the gateway by ``claims["idp"]``
        and this: two issuers may use the same ``sub``."""

    @property
    def issuer(self) -> str:
        """``iss``. Of an assertion it is the gateway; ``claims["idp"]`` is then the issuer that signed the person in."""

    @property
    def audience(self) -> frozenset[str]:
        """``aud``"""

    @property
    def client(self) -> str | None:
        """The client the token was issued to: ``client_id``, else ``azp``."""

    @property
    def username(self) -> str | None:
        """``preferred_username``: what the person calls themselves. Unique neither over time nor among issuers; use :attr:`subject`."""

    @property
    def name(self) -> str | None:
        """``name``: for display."""

    @property
    def verified_email(self) -> str | None:
        """``email``, if the issuer says that it was verified."""

    @property
    def roles(self) -> frozenset[str]:
        """Roles that hold in the whole realm (``realm_access.roles``)."""

    def client_roles(self, client: str) -> frozenset[str]:
        """Roles that hold at one client only (``resource_access.<client>.roles``)."""

    @property
    def groups(self) -> frozenset[str]:
        """Groups the person is a member of (``groups``), usually full paths like ``/finance``."""

    @property
    def scopes(self) -> frozenset[str]:
        """Scopes of the token (``scope``)."""

    @property
    def expires_at(self) -> datetime:
        """``exp``, in UTC."""

    @property
    def expires_at_epoch(self) -> float:
        """``exp``, in seconds since 1970."""

    @property
    def issued_at(self) -> datetime | None:
        """``iat``, in UTC."""

    @property
    def authenticated_at(self) -> datetime | None:
        """``auth_time``, in UTC: the time at which the person last authenticated."""

    @property
    def token_id(self) -> str | None:
        """``jti``"""

    @property
    def session_id(self) -> str | None:
        """``sid``: the session at the issuer."""

    @overload
    def get(self, name: str, default: None = None, /) -> Any: ...
    @overload
    def get(self, name: str, default: _T, /) -> Any | _T:
        """The claim of this name, or the default."""

    def at(self, path: str) -> Any:
        """A claim by path: names joined by dots (``realm_access.roles``) or a JSON Pointer (``/resource_access/my.client/roles``).

        ``None`` if there is none.
        """

    def keys(self) -> KeysView[str]:
        """The names of the claims."""

    def values(self) -> ValuesView[Any]:
        """The values of the claims."""

    def items(self) -> ItemsView[str, Any]:
        """Names and values."""

    def to_dict(self) -> dict[str, Any]:
        """All claims, as a new dictionary, which ``json.dumps`` takes."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """The schema by which pydantic writes claims, and FastAPI with it. Claims are never read from JSON."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        """The JSON Schema of what pydantic writes."""

    @property
    def __pydantic_serializer__(self) -> Any:
        """The serializer that pydantic uses where no schema says that a value is `Claims`."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object, /) -> Self: ...
    def __reduce__(self) -> Never: ...

@final
class Coroutine:
    """Return value of the ``…_async`` methods: await it once."""

    def send(self, value: Any) -> Any: ...
    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...

def command(arguments: Sequence[str], name: str = ...) -> int:
    """Run a command of ``python -m doorward`` on the process's own standard streams. Returns its exit code.

    Args:
        arguments: those of the command.
        name: the name that help and errors call the program by.

    Raises:
        KeyboardInterrupt: if Ctrl-C ends the command, unless this process has another handler for SIGINT.
    """
