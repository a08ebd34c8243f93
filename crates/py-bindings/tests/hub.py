"""The hub's side of the authenticator: its database, its people, and requests that reach it."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from jupyterhub import orm
from jupyterhub.user import User
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tornado.httputil import HTTPHeaders
from traitlets.config import Config

from doorward.jupyterhub import GatewayAuthenticator
from doorward.testing import Issuer

from .conftest import NAME, assertion


class Hub:
    """A hub with an authenticator that trusts ``signer``."""

    def __init__(self, signer: Issuer, **options: Any) -> None:
        self.signer = signer
        engine = create_engine("sqlite://")
        orm.Base.metadata.create_all(engine)
        self.db = Session(engine)
        keys = signer.url + "/protocol/openid-connect/certs"
        self.config = Config({"GatewayAuthenticator": {"audience": ["jupyterhub"], "keys_url": keys, **options}})
        self.restart()
        self.people: dict[str, Any] = {}
        self.cleared: list[Any] = []

    def restart(self) -> None:
        """Forget what is in memory; the database stays."""
        self.authenticator = GatewayAuthenticator(gateway=self.signer.url, config=self.config)

    def request(self, *headers: tuple[str, str], user: Any = None, by_token: bool = False) -> Any:
        fields = HTTPHeaders()
        for name, value in headers:
            fields.add(name, value)
        return SimpleNamespace(
            request=SimpleNamespace(headers=fields),
            find_user=self.people.get,
            clear_login_cookie=lambda: self.cleared.append(user),
            authenticator=self.authenticator,
            log=logging.getLogger("hub"),
            _jupyterhub_user=user,
            _token_authenticated=by_token,
        )

    def vouched(self, *more: tuple[str, str], user: Any = None, **options: Any) -> Any:
        return self.request((NAME, assertion(self.signer, **{"audience": "jupyterhub", **options})), *more, user=user)

    async def sign_in(self, *more: tuple[str, str], **options: Any) -> Any:
        """The hub's login: the answer of the authenticator, and the person as it is kept."""
        model = await self.authenticator.get_authenticated_user(self.vouched(*more, **options), None)
        if model is None:
            return None
        if model["name"] not in self.people:
            person = orm.User(name=model["name"])
            self.db.add(person)
            self.db.commit()
            settings = {"authenticator": self.authenticator, "base_url": "/jupyter/", "config": Config()}
            self.people[model["name"]] = User(person, settings, db=self.db)
        user = self.people[model["name"]]
        if self.authenticator.enable_auth_state:
            await user.save_auth_state(model["auth_state"])
        return model

    async def refresh(self, name: str, handler: Any) -> Any:
        handler._jupyterhub_user = self.people[name]
        return await self.authenticator.refresh_user(self.people[name], handler)
