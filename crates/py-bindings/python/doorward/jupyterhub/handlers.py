"""The hub's pages and the one API that the authenticator brings: signing in without a form, signing out at the gateway, tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LogoutHandler as _LogoutHandler
from jupyterhub.user import User
from jupyterhub.utils import compare_token
from tornado import web

from .. import DoorwardError, IssuerMisconfigured, IssuerUnavailable
from ..notebook import SignInNeeded

if TYPE_CHECKING:
    from .authenticator import GatewayAuthenticator

__all__ = ["LoginHandler", "LogoutHandler", "TokenHandler"]


class LoginHandler(BaseHandler):
    """Signs in the person that the gateway vouches for."""

    async def get(self) -> None:
        user = await self.login_user()
        if user is None:
            raise web.HTTPError(403, "Sign in through the gateway, with an account that may use this hub.")
        self.redirect(self.get_next_url(user))


class LogoutHandler(_LogoutHandler):
    """Signs out here, then at the gateway, which does so at the issuer."""

    authenticator: GatewayAuthenticator

    async def handle_logout(self) -> None:
        if self.current_user is not None:
            await self.authenticator.forget(self.current_user)

    async def render_logout_page(self) -> None:
        self.redirect(self.authenticator.sign_out_url, permanent=False)


class TokenHandler(APIHandler):
    """``POST api/doorward/token``: an access token of the person whose server asks, by the token that server was started with.

    No other token of the hub's counts, whatever its scopes: those that people make, or that their browsers have at a server,
    give no access to what they may do elsewhere.
    """

    authenticator: GatewayAuthenticator
    _accept_cookie_auth = False

    async def post(self) -> None:
        user = self._owner_of_server()
        asked = self.get_json_body()
        if asked is not None and not isinstance(asked, dict):
            raise web.HTTPError(400, "invalid body: send a JSON object")
        audience = (asked or {}).get("audience")
        if audience is not None and not isinstance(audience, str):
            raise web.HTTPError(400, "invalid audience: send a string")
        try:
            answer = await self.authenticator.token_for(user, audience)
        except SignInNeeded as needed:
            self._refuse(403, needed)
        except IssuerUnavailable as unavailable:
            self._refuse(503, unavailable)
        except IssuerMisconfigured as mistake:
            self.log.error("No token for %s: %s", user.name, mistake)
            self._refuse(500, mistake)
        except DoorwardError as refused:
            self.log.warning("No token for %s: %s", user.name, refused)
            self._refuse(403, refused)
        else:
            self.set_header("Cache-Control", "no-store")
            self.finish(json.dumps(answer))

    def _owner_of_server(self) -> Any:
        token, user = self.get_auth_token(), self.current_user
        if token and isinstance(user, User):
            for spawner in user.orm_user.orm_spawners.values():
                client = spawner.oauth_client
                # The server's secret as an OAuth client of the hub is the token it was started with.
                if spawner.server and client and client.secret and compare_token(client.secret, token):
                    return user
        raise web.HTTPError(403, "Only a running server may request its user's tokens, with its own API token.")

    def _refuse(self, status: int, error: DoorwardError) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps({"status": status, "code": error.code, "message": error.message, "remedy": error.remedy}))
