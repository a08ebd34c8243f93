"""Login, access token, refresh, logout and roles at an issuer with the documents and tokens of each provider."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

import doorward
from doorward.testing import Issuer

CALLBACK = "https://portal.example/callback"
API = "api://churn"


class Party(NamedTuple):
    product: Any
    roles: str
    """Path of the claim with roles."""
    role: str
    audience: str | None = API
    """Audience of its access tokens; None where only the provider can read them."""
    logs_out: bool = True
    settings: dict[str, Any] = {}


PARTIES = [
    Party("entra-id", "roles", "admin"),
    Party("google", "roles", "admin", audience=None, logs_out=False),
    Party("okta", "groups", "lab"),
    Party("auth0", '"https://platform.example/roles"', "admin"),
    Party("gitlab", "groups_direct", "lab", audience=None, logs_out=False),
    Party("authentik", "groups", "lab"),
    Party("zitadel", "urn:zitadel:iam:org:project:roles", "admin"),
    Party("dex", "groups", "lab", audience="portal", logs_out=False, settings={"dangerous_accept_id_tokens": True}),
    Party("cognito", "cognito:groups", "lab", audience="portal", logs_out=False, settings={"audience_claim": "client_id"}),
    Party("adfs", "role", "admin"),
]


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.product)
def test_each_product(party: Party) -> None:
    with Issuer(product=party.product) as issuer:
        issuer.add_client("portal", "secret", redirect_uri=CALLBACK, audience=API)
        issuer.add_user("alice", roles=["admin"], groups=["/lab"])
        made = doorward.Issuer(issuer.url, profile="generic", claims={"roles": party.roles})
        portal = doorward.Client(made, "portal", secret="secret")
        pending = portal.begin_login(CALLBACK, scope="profile email offline_access", parameters={"access_type": "offline"})
        assert pending.url is not None
        login = portal.finish_login(urlsplit(issuer.sign_in(pending.url, "alice")).query, pending)
        assert login.claims is not None and login.refresh_token is not None
        subject = login.claims.subject
        assert portal.user_info(login.access_token, subject=subject)["sub"] == subject
        assert portal.refresh(login.refresh_token, subject=subject).access_token
        assert (portal.logout_url() is not None) == party.logs_out
        if party.audience is None:
            with pytest.raises(doorward.InvalidToken):
                made.verifier(API).verify(login.access_token)
            return
        settings = dict(party.settings)
        if party.product == "adfs":
            settings["access_token_issuer"] = f"{issuer.url}/services/trust"
        verifier = made.verifier(party.audience, **settings)
        assert party.role in verifier.verify(login.access_token).roles
        with pytest.raises(doorward.WrongAudience):
            made.verifier("another", **settings).verify(login.access_token)
        if party.product != "dex":
            with pytest.raises(doorward.InvalidToken):
                made.verifier("portal", **settings).verify(login.id_token or "")
