"""Who somebody is at the hub: whom the gateway vouches for, at sign-in and at every request of a browser after it."""

from __future__ import annotations

from typing import Any

from jupyterhub.auth import Authenticator
from tornado import web
from traitlets import Bool, Dict, List, Set, Unicode, default, validate

from .. import Claims, ConfigurationError, DoorwardError, Gateway, InvalidToken, Issuer, IssuerUnavailable, Verifier
from .handlers import LoginHandler, LogoutHandler, TokenHandler
from .limits import Limits, give, holds
from .tokens import SessionEnded, TokenKeeper, peek

__all__ = ["GatewayAuthenticator"]

_ASSERTION = "X-Doorward-Assertion"
_CLAIMS = "_doorward_claims"
_ALLOWED = ("allowed_users", "allowed_roles", "allowed_client_roles", "allowed_groups")


class GatewayAuthenticator(Authenticator):
    """Signs people into JupyterHub by the gateway's assertion (``X-Doorward-Assertion``), and by nothing else.

    Whoever the gateway lets through is allowed, unless something is set that allows (``allowed_roles``, ``allowed_groups``,
    ``allowed_client_roles``, ``allowed_users``); then any of these is enough, and one that is set to nobody lets nobody in.

    ``auth_state``, if it is enabled, has ``subject``, ``name``, ``email``, ``roles``, ``client_roles``, ``groups``, and in ``tokens``
    the ``access_token`` with its end ``expires_at`` (seconds since 1970) and the ``refresh_token`` of the hub's own client. Do not
    hand it to servers: :func:`doorward.notebook.token` gives them what they may have.
    """

    gateway = Unicode(help="The gateway's public URL.", config=True)
    keys_url = Unicode(
        None,
        allow_none=True,
        config=True,
        help="Where the gateway's keys are fetched, if not below its public URL: an address inside the cluster. https, or loopback.",
    )
    endpoints = Unicode("/oauth2", config=True, help="The prefix of the gateway's own URLs.")
    ca_file = Unicode(None, allow_none=True, config=True, help="PEM file with the only certificates to trust.")
    audience = List(
        Unicode(),
        config=True,
        help="""The names of the gateway's routes that lead to the hub, and to nothing else.

        A route that also leads to people's servers must not be among them: what runs there could sign in as its visitors.
        """,
    )
    username_claim = Unicode(
        "preferred_username",
        config=True,
        help="The claim that names people at the hub. With several issuers behind the gateway, set `sub`: other names may be twice.",
    )

    allowed_roles = Set(Unicode(), config=True, help="Realm roles of which one lets a person in.").tag(allow_config=True)
    allowed_client_roles = Dict(config=True, help="Roles at clients, by client, of which one lets a person in.").tag(allow_config=True)
    allowed_groups = Set(Unicode(), config=True, help="Groups of which one lets a person in, as tokens name them (`/finance`).").tag(
        allow_config=True
    )
    admin_roles = Set(Unicode(), config=True, help="Realm roles of which one makes an administrator of the hub.")
    admin_client_roles = Dict(config=True, help="Roles at clients, by client, of which one makes an administrator of the hub.")
    admin_groups = Set(Unicode(), config=True, help="Groups of which one makes an administrator of the hub.")

    limits = List(
        Dict(),
        config=True,
        help="""What people's servers are given: see `doorward.jupyterhub.Limits`. The first entry that fits decides.

        If it is not empty, whom no entry fits gets no server.
        """,
    )

    issuer = Unicode(config=True, help="The issuer, for `client`.")
    client = Dict(
        config=True,
        help="""A client of the hub's own at `issuer`, which keeps people's tokens fresh for their notebooks.

        The arguments of `doorward.Issuer.client_credentials`: {"client_id": "jupyterhub", "secret_file": "/run/secrets/jupyterhub"}.
        Needs `identity: { access_token: true }` on the hub's route. Without it notebooks get tokens for minutes after each visit only.
        """,
    )
    token_audiences = Set(
        Unicode(),
        config=True,
        help="Audiences for which notebooks may have a person's token exchanged (RFC 8693). None unless set.",
    )

    auto_login = Bool(True, config=True, help="There is no page with a button.")

    @default("auth_refresh_age")
    def _default_auth_refresh_age(self) -> int:
        # At each request: the hub's cookie may be of somebody who used this browser before, and to look costs microseconds. An age in
        # seconds would be one for all browsers of a person, and each request of their server makes it new.
        return -1

    @default("allow_all")
    def _default_allow_all(self) -> bool:
        # The gateway's rules have decided already.
        return not (self.allow_existing_users or any(getattr(self, name) or self._is_configured(name) for name in _ALLOWED))

    def _is_configured(self, name: str) -> bool:
        # What is set to nobody is set: a list that came from a variable which is empty lets nobody in.
        return any(name in self.config.get(kind.__name__, {}) for kind in type(self).__mro__)

    @validate("limits")
    def _validate_limits(self, proposal: Any) -> Any:
        Limits(proposal["value"])
        return proposal["value"]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.gateway or not self.audience:
            raise ConfigurationError(
                "GatewayAuthenticator does not know the gateway",
                field="gateway",
                remedy="set c.GatewayAuthenticator.gateway to its public URL, and .audience to [the name of the hub's route]",
            )
        if self.client and not self.issuer:
            raise ConfigurationError("a client needs an issuer", field="issuer", remedy="set c.GatewayAuthenticator.issuer")
        url = self.gateway.rstrip("/")
        gateway = Gateway(url, keys_url=self.keys_url, endpoints=self.endpoints, ca_file=self.ca_file)
        self._verifier: Verifier = gateway.verifier(self.audience)
        self.sign_out_url = f"{url}/{self.endpoints.strip('/')}/sign_out"
        source = Issuer(self.issuer, ca_file=self.ca_file).client_credentials(**self.client) if self.client else None
        self._tokens = TokenKeeper(source)
        self._known: dict[str, dict[str, Any]] = {}

    # === Signing in ===

    async def authenticate(self, handler: Any, data: Any = None) -> dict[str, Any] | None:
        """Who sent this request, as the gateway says. ``data`` is what a caller wrote, and not looked at."""
        claims = await self._vouched_for(handler)
        if claims is None:
            return None
        name = self._name(claims)
        if name is None:
            return None
        user = handler.find_user(name)
        state = await user.get_auth_state() if user is not None and self.enable_auth_state else None
        known = (self._known.get(name) or state or {}) if user is not None else {}
        if known.get("subject") not in (None, claims.subject):
            self.log.warning("%r is another person at the issuer than the one this hub knows by that name", name)
            raise web.HTTPError(403, "This name belonged to somebody else here. An administrator can delete the old account.")
        await self._shown(name, state, claims, handler)
        return self._model(name, claims)

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Whether the person who signed in here is the one the gateway vouches for now, and still allowed."""
        if handler is None or getattr(handler, "_token_authenticated", False) or getattr(handler, "_jupyterhub_user", user) is not user:
            # No browser of this person's is asking: nothing can be told of them.
            return True
        claims = await self._vouched_for(handler)
        if claims is None:
            return False
        if self._name(claims) != user.name:
            # The cookie is of somebody who used this browser before. What it opened at their servers ends, too.
            handler.clear_login_cookie()
            return False
        state = await user.get_auth_state() if user.name not in self._known and self.enable_auth_state else None
        known = self._known.get(user.name) or state or {}
        if known.get("subject") not in (None, claims.subject):
            return False
        changed = await self._shown(user.name, state, claims, handler)
        before = self._known.get(user.name)
        model = self._model(user.name, claims)
        if not self.check_blocked_users(user.name, model) or not (self.allow_all or self.check_allowed(user.name, model)):
            return False
        return model if changed or before != self._known[user.name] else True

    async def _vouched_for(self, handler: Any) -> Claims | None:
        known: Claims | None = getattr(handler, _CLAIMS, None)
        if known is not None:
            return known
        assertions = handler.request.headers.get_list(_ASSERTION)
        if len(assertions) != 1:
            return None
        # The hub logs the headers of requests that fail.
        del handler.request.headers[_ASSERTION]
        try:
            claims = await self._verifier.verify_async(assertions[0])
        except InvalidToken as refused:
            self.log.warning("The gateway's assertion is refused: %s (%s)", refused, refused.code)
            return None
        except IssuerUnavailable as unavailable:
            self.log.error("The gateway's keys cannot be fetched: %s", unavailable)
            raise web.HTTPError(503, "The gateway's keys cannot be fetched now. Try again in a moment.") from unavailable
        setattr(handler, _CLAIMS, claims)
        return claims

    def _name(self, claims: Claims) -> str | None:
        name = claims.get(self.username_claim)
        if not isinstance(name, str) or not name:
            self.log.warning("The gateway's assertion has no %s: nobody to sign in", self.username_claim)
            return None
        return str(self.normalize_username(name))

    def _model(self, name: str, claims: Claims) -> dict[str, Any]:
        about: dict[str, Any] = {
            "subject": claims.subject,
            "name": claims.name,
            "email": claims.verified_email,
            "roles": sorted(claims.roles),
            "client_roles": claims.get("client_roles") or {},
            "groups": sorted(claims.groups),
        }
        self._known[name] = about
        model: dict[str, Any] = {"name": name, "admin": self._admin(name, about), "auth_state": self._state(name, about)}
        if self.manage_groups:
            model["groups"] = [group.removeprefix("/") for group in about["groups"]]
        return model

    def _state(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        return {**about, "tokens": self._tokens.kept(name, None).write()}

    # === Who may what ===

    def check_allowed(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        """Whether a person may use the hub: by name, or by what the gateway says of them."""
        if super().check_allowed(username, authentication):
            return True
        about = (authentication or {}).get("auth_state") or {}
        return self._one_of("allowed", username, about)

    def _admin(self, name: str, about: dict[str, Any]) -> bool | None:
        if not (self.admin_roles or self.admin_client_roles or self.admin_groups):
            return True if name in self.admin_users else None
        # Said both ways, so that who loses the role is no administrator from the next request on.
        return name in self.admin_users or self._one_of("admin", name, about)

    def _one_of(self, which: str, name: str, about: dict[str, Any]) -> bool:
        keys = ("roles", "client_roles", "groups")
        return any(holds(key, getattr(self, f"{which}_{key}"), name, about) for key in keys)

    # === Servers ===

    async def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Give a server what its person's roles allow."""
        state = None if user.name in self._known else await user.get_auth_state()
        self._limit(spawner, state)

    def limit(self, spawner: Any, auth_state: dict[str, Any] | None) -> None:
        """The ``Spawner.auth_state_hook``, unless there is another: the form of profiles shows what the person's roles allow."""
        self._limit(spawner, auth_state)

    def _limit(self, spawner: Any, state: dict[str, Any] | None) -> None:
        limits = Limits(self.limits)
        if not limits:
            return
        name = spawner.user.name
        about = self._known.get(name) or state
        if about is None:
            raise web.HTTPError(403, f"What {name} may use is not known: {name} has to sign in first.")
        settings = limits.of(name, about)
        if settings is None:
            raise web.HTTPError(403, f"None of {name}'s roles and groups comes with a server.")
        give(spawner, settings)

    # === Tokens ===

    async def _shown(self, name: str, state: dict[str, Any] | None, claims: Claims, handler: Any) -> bool:
        """Keep what comes of the access token that the gateway shows. Signing in goes on without."""
        self._tokens.kept(name, (state or {}).get("tokens"))
        values = handler.request.headers.get_list("Authorization")
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or peek(token).get("sub") != claims.subject:
            return False
        try:
            return await self._tokens.shown(name, None, token)
        except DoorwardError as error:
            self.log.warning("Notebooks of %s get no tokens: %s (%s)", name, error, error.remedy or error.code)
            return False

    async def token_for(self, user: Any, audience: str | None) -> dict[str, Any]:
        """A good access token of a person, as their server is given it.

        Raises:
            SignInNeeded: if there is none.
            ConfigurationError: if servers may not ask for this audience.
            DoorwardError: if the issuer gives none.
        """
        if audience is not None and audience not in self.token_audiences:
            raise ConfigurationError(
                f"notebooks may not ask for tokens for {audience!r}",
                field="audience",
                remedy="an administrator can add it to c.GatewayAuthenticator.token_audiences",
            )
        state = await user.get_auth_state() if self.enable_auth_state else None
        try:
            tokens, changed = await self._tokens.fresh(user.name, (state or {}).get("tokens"))
        except SessionEnded:
            await self._sign_out(user)
            raise
        if changed:
            await self._save(user)
        token, left = tokens.access_token, tokens.left()
        if audience is not None:
            token, left = await self._tokens.exchanged(tokens, audience)
        return {"access_token": token, "token_type": "Bearer", "expires_in": min(left, 86400.0)}

    async def forget(self, user: Any) -> None:
        """Keep no token of a person any more."""
        self._tokens.forget(user.name)
        await self._save(user)

    async def _save(self, user: Any) -> None:
        if self.enable_auth_state:
            state = await user.get_auth_state() or {}
            await user.save_auth_state({**state, "tokens": self._tokens.kept(user.name, None).write()})

    async def _sign_out(self, user: Any) -> None:
        """End the browser's sessions at servers: the next page leads by the hub, where the gateway shows a new access token."""
        await self._save(user)
        ended = [token for token in user.orm_user.api_tokens if token.session_id]
        for token in ended:
            user.db.delete(token)
        if ended:
            user.db.commit()

    def delete_user(self, user: Any) -> None:
        """Forget somebody whose account here is deleted."""
        super().delete_user(user)
        self._known.pop(user.name, None)
        self._tokens.forget(user.name)

    # === Pages ===

    def login_url(self, base_url: str) -> str:
        """Where a browser that is not signed in goes."""
        return base_url.rstrip("/") + "/gateway-login"

    def get_handlers(self, app: Any) -> list[Any]:
        """Signing in, signing out, tokens; and the hook that gives servers their size, unless there is another."""
        def limit(spawner: Any, auth_state: dict[str, Any] | None) -> None:
            # A function, because spawners copy their configuration.
            self.limit(spawner, auth_state)

        if self.limits and "auth_state_hook" not in app.config.Spawner:
            app.config.Spawner.auth_state_hook = limit
        return [("/gateway-login", LoginHandler), ("/logout", LogoutHandler), ("/api/doorward/token", TokenHandler)]
