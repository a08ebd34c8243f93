"""Settings of the authenticator (``c.GatewayAuthenticator``): names, defaults and checks."""

from __future__ import annotations

from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Bool, Dict, List, Set, Unicode, default, validate

from .limits import Limits

__all__ = ["Settings"]

_ALLOWED = ("allowed_users", "allowed_roles", "allowed_client_roles", "allowed_groups")


class Settings(Authenticator):
    """The settings of :class:`doorward.jupyterhub.GatewayAuthenticator`."""

    gateway = Unicode(help="The gateway's public URL.", config=True)
    keys_url = Unicode(
        None,
        allow_none=True,
        config=True,
        help="URL of the gateway's keys, if not below its public URL, such as an address inside the cluster. https, or loopback.",
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
        help="""The claim that names people at the hub.

        With several issuers behind the gateway two people may have the same name: the second of them is refused, unless `usernames`
        gives that person another name.
        """,
    )
    allowed_issuers = Set(
        Unicode(),
        config=True,
        help="""The issuers (URLs, as the assertion's `idp` has them) whose people the hub takes; an assertion without `idp` is refused then.

        If it is empty, the hub takes people of one issuer: that of `client` if it is set, else the first one that signs in. Several need
        `enable_auth_state`: a restart would forget to which of them a name belongs.
        """,
    ).tag(allow_config=False)
    usernames = Dict(
        config=True,
        help="""Names at the hub of certain people, by issuer and subject: {"https://id.partner.example": {"8f0c2a": "alice-partner"}}.

        A name in here belongs to those it is given to, and to no one else, whatever their issuers call them. It may be given to several
        identities of one person.
        """,
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
        help="""Settings of people's servers: see `doorward.jupyterhub.Limits`. The first matching entry decides.

        If it is not empty, a user without a matching entry gets no server.
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

    auto_login = Bool(True, config=True, help="Sign in without a page with a button.")

    @default("auth_refresh_age")
    def _default_auth_refresh_age(self) -> int:
        # At each request: the hub's cookie may be of another person who used this browser, and the check costs microseconds. An age in
        # seconds would be one for all browsers of a person, and each request of their server would renew it.
        return -1

    @default("allow_all")
    def _default_allow_all(self) -> bool:
        # The gateway's rules have decided already.
        return not (self.allow_existing_users or any(getattr(self, name) or self._is_configured(name) for name in _ALLOWED))

    def _is_configured(self, name: str) -> bool:
        # An empty setting is a setting: a list that came from an empty variable lets no one in.
        return any(name in self.config.get(kind.__name__, {}) for kind in type(self).__mro__)

    @validate("limits")
    def _validate_limits(self, proposal: Any) -> Any:
        Limits(proposal["value"])
        return proposal["value"]
