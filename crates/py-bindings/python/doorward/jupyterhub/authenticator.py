"""Signs people into the hub as the gateway vouches for them, at sign-in and at every later request of a browser."""

from __future__ import annotations

import time
from typing import Any

from jupyterhub.utils import maybe_future
from tornado import web

from .. import Claims, ConfigurationError, DoorwardError, Gateway, Issuer, Verifier
from .assertions import vouched_for
from .handlers import LoginHandler, LogoutHandler, TokenHandler
from .identity import Identity, Issuers, Names
from .limits import Limits, give, holds
from .settings import Settings
from .tokens import SessionEnded, TokenKeeper, peek

__all__ = ["GatewayAuthenticator"]

_CREATION = 60.0
"""Seconds after a sign-in by which the hub has made the account; a name without an account is free again after them."""


class GatewayAuthenticator(Settings):
    """Signs people into JupyterHub by the gateway's assertion (``X-Doorward-Assertion``), and by nothing else.

    Everyone the gateway lets through is allowed, unless one of the settings that allow is set (``allowed_roles``, ``allowed_groups``,
    ``allowed_client_roles``, ``allowed_users``); then any of these is enough, and an empty one lets no one in.

    A name at the hub belongs to the issuer and subject that had it first: the same name of another issuer, or of another subject, is refused.
    Without ``auth_state`` the hub knows to which person a name belongs until it restarts.

    ``auth_state``, if it is enabled, has ``issuer``, ``subject``, ``name``, ``email``, ``roles``, ``client_roles``, ``groups``, and in ``tokens``
    the ``access_token`` with its end ``expires_at`` (seconds since 1970) and the ``refresh_token`` of the hub's own client. Do not
    hand it to servers: :func:`doorward.notebook.token` gives them what they may have.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.gateway or not self.audience:
            raise ConfigurationError(
                "missing gateway or audience of GatewayAuthenticator",
                field="gateway",
                remedy="set c.GatewayAuthenticator.gateway to its public URL, and .audience to [the name of the hub's route]",
            )
        if self.client and not self.issuer:
            raise ConfigurationError("missing issuer: client is set", field="issuer", remedy="set c.GatewayAuthenticator.issuer")
        url = self.gateway.rstrip("/")
        gateway = Gateway(url, keys_url=self.keys_url, endpoints=self.endpoints, ca_file=self.ca_file)
        self._verifier: Verifier = gateway.verifier(self.audience)
        self.sign_out_url = f"{url}/{self.endpoints.strip('/')}/sign_out"
        source = Issuer(self.issuer, ca_file=self.ca_file).client_credentials(**self.client) if self.client else None
        self._tokens = TokenKeeper(source)
        if len(self.allowed_issuers) > 1 and not self.enable_auth_state:
            raise ConfigurationError(
                "several issuers need auth_state: without it, a restart forgets to which of them a name belongs",
                field="allowed_issuers",
                remedy="set c.GatewayAuthenticator.enable_auth_state = True, with JUPYTERHUB_CRYPT_KEY",
            )
        self._issuers = Issuers(self.allowed_issuers, self.issuer if self.client else None)
        self._names = Names(self.usernames, lambda name: str(self.normalize_username(name)))
        self._known: dict[str, dict[str, Any]] = {}
        self._taken_in: dict[str, float] = {}

    # === Signing in ===

    async def authenticate(self, handler: Any, data: Any = None) -> dict[str, Any] | None:
        """The person who sent this request, as the gateway says. ``data`` comes from the caller and is ignored."""
        claims = await self._vouched_for(handler)
        name = None if claims is None else self._name(claims)
        if claims is None or name is None:
            return None
        user = handler.find_user(name)
        if user is None and time.monotonic() - self._taken_in.get(name, 0.0) > _CREATION:
            # The account was deleted, or has another name now.
            self._forget_name(name)
        state = await user.get_auth_state() if user is not None and self.enable_auth_state else None
        model = self._model(name, claims)
        if not await self._may(name, model):
            # A person who may not use the hub takes no name, and leaves neither roles nor tokens behind.
            return model
        if not self._belongs_to(name, state, claims):
            raise web.HTTPError(
                403,
                f"Another account of this hub has the name {name}. An administrator can give you another name, or delete the old account.",
            )
        await self._take_in(name, state, claims, handler, model)
        return model

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Checks that the person who signed in here is the one the gateway vouches for now, and still allowed."""
        if handler is None or getattr(handler, "_token_authenticated", False) or getattr(handler, "_jupyterhub_user", user) is not user:
            # The request is not of this person's browser, so it says nothing about them.
            return True
        claims = await self._vouched_for(handler)
        if claims is None:
            return False
        name = user.name
        state = await user.get_auth_state() if name not in self._known and self.enable_auth_state else None
        if self._name(claims) != name or not self._belongs_to(name, state, claims):
            # The cookie is of another person who used this browser before. What it opened at their servers ends, too.
            handler.clear_login_cookie()
            return False
        before = self._known.get(name)
        model = self._model(name, claims)
        if not await self._may(name, model) or not self._belongs_to(name, state, claims):
            return False
        changed = await self._take_in(name, state, claims, handler, model)
        return model if changed or before != self._known[name] else True

    async def _vouched_for(self, handler: Any) -> Claims | None:
        return await vouched_for(handler, self._verifier, self._issuers, self.log)

    def _name(self, claims: Claims) -> str | None:
        identity = Identity.of(claims)
        given = self._names.given_to(identity)
        if given is not None:
            return given
        claimed = claims.get(self.username_claim)
        if not isinstance(claimed, str) or not claimed:
            self.log.warning("The gateway's assertion has no %s: the sign-in is refused", self.username_claim)
            return None
        name = str(self.normalize_username(claimed))
        if self._names.is_given(name):
            self.log.warning("%r is reserved in usernames, and not for %r of %r", name, identity.subject, identity.issuer)
            return None
        return name

    def _owner(self, name: str, state: dict[str, Any] | None) -> Identity | None:
        """The person a name belongs to, as far as the hub knows."""
        return Identity.recorded(self._known.get(name) or state or {})

    def _belongs_to(self, name: str, state: dict[str, Any] | None, claims: Claims) -> bool:
        owner, identity = self._owner(name, state), Identity.of(claims)
        # A name that the operator gives to several identities is one person's by that.
        if owner is None or identity.agrees_with(owner) or self._names.given_to(identity) == name:
            return True
        self.log.warning(
            "%r belongs to %r of %r at this hub: %r of %r is refused", name, owner.subject, owner.issuer, identity.subject, identity.issuer
        )
        return False

    async def _may(self, name: str, model: dict[str, Any]) -> bool:
        if not await maybe_future(self.check_blocked_users(name, model)):
            return False
        return bool(self.allow_all or await maybe_future(self.check_allowed(name, model)))

    def _model(self, name: str, claims: Claims) -> dict[str, Any]:
        issuer, subject = Identity.of(claims)
        about: dict[str, Any] = {
            "issuer": issuer,
            "subject": subject,
            "name": claims.name,
            "email": claims.verified_email,
            "roles": sorted(claims.roles),
            "client_roles": claims.get("client_roles") or {},
            "groups": sorted(claims.groups),
        }
        model: dict[str, Any] = {"name": name, "admin": self._admin(name, about), "auth_state": about}
        if self.manage_groups:
            model["groups"] = [group.removeprefix("/") for group in about["groups"]]
        return model

    async def _take_in(
        self, name: str, state: dict[str, Any] | None, claims: Claims, handler: Any, model: dict[str, Any]
    ) -> bool:
        """Keep what the gateway says of a person who is let in, and add their tokens to the model. True if the tokens have changed."""
        owner, identity, about = self._owner(name, state), Identity.of(claims), model["auth_state"]
        about["issuer"] = identity.merged_with(owner).issuer
        self._known[name] = about
        self._taken_in[name] = time.monotonic()
        self._issuers.accepted(identity)
        if owner is not None and not identity.agrees_with(owner):
            # The tokens are those of the other identity that has this name.
            self._tokens.forget(name)
            state = None
        changed = await self._shown(name, state, claims, handler)
        model["auth_state"] = self._state(name, about)
        return changed

    def _state(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        return {**about, "tokens": self._tokens.kept(name, None).write()}

    # === Permissions ===

    def check_allowed(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        """True if a person may use the hub: by name, or by what the gateway says of them."""
        if super().check_allowed(username, authentication):
            return True
        about = (authentication or {}).get("auth_state") or {}
        return self._one_of("allowed", username, about)

    def _admin(self, name: str, about: dict[str, Any]) -> bool | None:
        if not (self.admin_roles or self.admin_client_roles or self.admin_groups):
            return True if name in self.admin_users else None
        # Set to true or false, so that a person who loses the role is no administrator from the next request on.
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
            raise web.HTTPError(403, f"The roles of {name} are unknown: {name} must sign in first.")
        settings = limits.of(name, about)
        if settings is None:
            raise web.HTTPError(403, f"None of {name}'s roles and groups allows a server.")
        give(spawner, settings)

    # === Tokens ===

    async def _shown(self, name: str, state: dict[str, Any] | None, claims: Claims, handler: Any) -> bool:
        """Keep the tokens obtained with the access token that the gateway shows. A failure does not end the sign-in."""
        self._tokens.kept(name, (state or {}).get("tokens"))
        values = handler.request.headers.get_list("Authorization")
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        says, identity = peek(token), Identity.of(claims)
        if scheme.lower() != "bearer" or says.get("sub") != identity.subject or identity.issuer not in (None, says.get("iss")):
            return False
        if self.client and says.get("iss") != self.issuer:
            # Another issuer would refuse the token, and must not see it.
            self.log.warning("Notebooks of %s get no tokens: the user's tokens are of another issuer than the hub's client", name)
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
        """Forget the person whose account here is deleted."""
        super().delete_user(user)
        self._forget_name(user.name)

    def _forget_name(self, name: str) -> None:
        self._known.pop(name, None)
        self._taken_in.pop(name, None)
        self._tokens.forget(name)

    # === Pages ===

    def login_url(self, base_url: str) -> str:
        """URL for a browser that is not signed in."""
        return base_url.rstrip("/") + "/gateway-login"

    def get_handlers(self, app: Any) -> list[Any]:
        """Signing in, signing out, tokens; and the hook that gives servers their size, unless there is another."""
        def limit(spawner: Any, auth_state: dict[str, Any] | None) -> None:
            # A function, because spawners copy their configuration.
            self.limit(spawner, auth_state)

        if self.limits and "auth_state_hook" not in app.config.Spawner:
            app.config.Spawner.auth_state_hook = limit
        return [("/gateway-login", LoginHandler), ("/logout", LogoutHandler), ("/api/doorward/token", TokenHandler)]
