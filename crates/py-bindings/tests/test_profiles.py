"""Access tokens in the form of other providers than Keycloak."""

from __future__ import annotations

from typing import Any

import pytest

import doorward
from doorward.testing import Issuer

#: What only Keycloak writes.
OURS = ["typ", "azp", "sid", "acr", "scope", "realm_access", "resource_access", "groups", "preferred_username", "name", "email"]


def plain(issuer: Issuer, **claims: Any) -> str:
    return issuer.mint("alice", audience="churn", without=[name for name in OURS if name not in claims], claims=claims)


def test_a_generic_token_is_accepted_with_its_names(issuer: Issuer) -> None:
    paths = {"roles": '"https://acme.example/app".roles', "groups": ["cognito:groups"], "user_name": "username", "client_roles": None}
    verifier = doorward.Issuer(issuer.url, profile="generic", claims=paths).verifier("churn")
    app = {"roles": {"analyst": {"1": "acme"}}}
    named: dict[str, Any] = {"https://acme.example/app": app, "cognito:groups": ["risk"]}
    token = plain(issuer, scp=["score", "openid"], username="alice", **named)
    claims = verifier.verify(token)
    assert claims.scopes == {"score", "openid"}
    assert claims.roles == {"analyst"}
    assert claims.groups == {"risk"}
    assert claims.username == "alice"
    with pytest.raises(doorward.WrongTokenType):
        doorward.Issuer(issuer.url).verifier("churn").verify(token)


@pytest.mark.parametrize("mark", [{"nonce": "n"}, {"at_hash": "h"}, {"events": {}}, {"typ": "ID"}, {"token_use": "id"}])
def test_an_id_token_is_no_access_token(issuer: Issuer, mark: dict[str, Any]) -> None:
    made = doorward.Issuer(issuer.url)
    token = plain(issuer, **mark)
    with pytest.raises(doorward.WrongTokenType):
        made.verifier("churn", profile="generic").verify(token)
    lenient = made.verifier("churn", profile="generic", dangerous_accept_id_tokens=True)
    if "events" in mark:
        with pytest.raises(doorward.WrongTokenType):
            lenient.verify(token)
    else:
        assert lenient.verify(token).subject


def test_a_workload_has_no_roles_unless_paths_say_where(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url, profile="workload")
    subject = "project_path:data/churn:ref_type:branch:ref:main"
    token = plain(issuer, sub=subject, groups=["admin"], scope="score", user_access_level="owner")
    claims = made.verifier("churn").verify(token)
    assert claims.subject == subject
    assert not claims.roles and not claims.groups and not claims.scopes and claims.username is None
    named = made.verifier("churn", claims={"roles": "user_access_level", "subject": "user_access_level"}).verify(token)
    assert named.roles == {"owner"}
    assert named.subject == "owner"


def test_a_client_may_stand_for_the_audience(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url, profile="generic")
    cognito = made.verifier("57cb", audience_claim="client_id")
    claims = {"client_id": "57cb", "token_use": "access"}
    token = issuer.mint("alice", without=[*OURS, "aud"], claims=claims)
    assert cognito.verify(token).client == "57cb"
    with pytest.raises(doorward.WrongAudience):
        cognito.verify(issuer.mint("alice", without=[*OURS, "aud"], claims={**claims, "client_id": "other"}))
    with pytest.raises(doorward.WrongTokenType):
        cognito.verify(issuer.mint("alice", without=[*OURS, "aud"], claims={**claims, "token_use": "id"}))


def test_another_issuer_of_access_tokens_is_a_name_only(issuer: Issuer) -> None:
    adfs = "http://adfs.example/adfs/services/trust"
    verifier = doorward.Issuer(issuer.url, profile="generic").verifier("churn", access_token_issuer=adfs)
    assert verifier.verify(plain(issuer, iss=adfs)).issuer == adfs
    with pytest.raises(doorward.WrongIssuer):
        verifier.verify(plain(issuer))


def test_a_svid_is_of_its_trust_domain(issuer: Issuer) -> None:
    verifier = doorward.Issuer(issuer.url, profile="workload").verifier("churn", trust_domain="acme.example")
    token = issuer.mint("alice", audience="churn", without=[*OURS, "iss"], claims={"sub": "spiffe://acme.example/run/trainer"})
    assert verifier.verify(token).subject == "spiffe://acme.example/run/trainer"
    with pytest.raises(doorward.InvalidToken):
        verifier.verify(plain(issuer, sub="spiffe://other.example/run/trainer"))


def test_header_members_with_keys_are_ignored_if_asked(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url)
    token = issuer.mint("alice", audience="churn", header={"jku": "https://evil.test/jwks", "x5c": ["MIIB"]})
    with pytest.raises(doorward.InvalidToken):
        made.verifier("churn").verify(token)
    assert made.verifier("churn", dangerous_ignore_header_keys=True).verify(token).subject


def test_tenants_are_listed() -> None:
    entra = "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert doorward.Issuer(entra, tenants=["t-1", "t-2"], profile="generic").url == entra
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        (entra, {}),
        (entra, {"tenants": []}),
        (entra, {"tenants": "common"}),
        ("https://id.example", {"tenants": "t-1"}),
        ("https://{tenantid}.id.example", {"tenants": "t-1"}),
        ("https://id.example", {"profile": "okta"}),
        ("https://id.example", {"claims": {"rolls": "roles"}}),
        ("https://id.example", {"claims": {"roles": '"open'}}),
    )
    for url, options in wrong:
        with pytest.raises(doorward.ConfigurationError) as caught:
            doorward.Issuer(url, **options)
        assert caught.value.remedy


def test_a_rule_that_the_profile_cannot_have_is_refused(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url)
    wrong: tuple[dict[str, Any], ...] = (
        {"dangerous_accept_id_tokens": True},
        {"profile": "workload", "dangerous_accept_id_tokens": True},
        {"profile": "generic", "trust_domain": "acme.example"},
        {"audience_claim": "client_id"},
        {"profile": "generic", "audience_claim": "azp"},
    )
    for options in wrong:
        with pytest.raises(doorward.ConfigurationError):
            made.verifier("churn", **options)
