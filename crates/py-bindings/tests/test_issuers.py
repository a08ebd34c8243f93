"""Verifiers of several issuers, and of tokens that only their issuer can read."""

from __future__ import annotations

import asyncio
import os

import pytest

import doorward
from doorward.access import Guard, Refused
from doorward.testing import Issuer


def test_each_token_is_verified_by_its_own_issuers_rules(issuer: Issuer) -> None:
    with Issuer(realm="partner") as partner:
        verifier = doorward.Verifier.any_of(issuer.verifier("churn"), partner.verifier("churn-api"))
        assert verifier.verify(issuer.mint("alice", audience="churn")).issuer == issuer.url
        assert verifier.verify(partner.mint("bob", audience="churn-api")).issuer == partner.url
        for wrong in (issuer.mint("alice", audience="churn-api"), partner.mint("bob", audience="churn")):
            with pytest.raises(doorward.WrongAudience):
                verifier.verify(wrong)
        assert asyncio.run(verifier.verify_async(partner.mint("bob", audience="churn-api"))).username == "bob"
        assert verifier.issuer == issuer.url
        assert verifier.issuers == [issuer.url, partner.url]
        assert verifier.audience == ["churn", "churn-api"]
        assert partner.url in repr(verifier)


def test_an_issuer_cannot_sign_for_another(issuer: Issuer) -> None:
    with Issuer(realm="partner") as partner:
        verifier = doorward.Verifier.any_of(issuer.verifier("churn"), partner.verifier("churn"))
        with pytest.raises((doorward.BadSignature, doorward.UnknownKey)):
            verifier.verify(partner.mint("alice", audience="churn", issuer=issuer.url))
        with pytest.raises(doorward.WrongIssuer):
            verifier.verify(partner.mint("alice", audience="churn", issuer="https://elsewhere.example"))
        with pytest.raises(doorward.WrongIssuer):
            verifier.verify(partner.mint("alice", audience="churn", issuer=issuer.url + "/"))


def test_one_issuer_that_is_down_leaves_the_others(issuer: Issuer) -> None:
    with Issuer(realm="partner") as partner:
        verifier = doorward.Verifier.any_of(issuer.verifier("churn"), partner.verifier("churn"))
        theirs = partner.mint("bob", audience="churn")
        with partner.outage():
            assert verifier.verify(issuer.mint("alice", audience="churn"))
            with pytest.raises(doorward.IssuerUnavailable):
                verifier.verify(theirs)


def test_verifiers_that_do_not_go_together_are_refused(issuer: Issuer, gateway: doorward.Gateway) -> None:
    mine = issuer.verifier("churn")
    for verifiers in ([], [mine, issuer.verifier("score")], [mine, gateway.verifier("scoring")], [gateway.verifier("scoring")]):
        with pytest.raises(doorward.ConfigurationError) as wrong:
            doorward.Verifier.any_of(*verifiers)
        assert wrong.value.code == "verifiers" and wrong.value.remedy


def test_several_issuers_behind_a_guard_and_after_a_fork(issuer: Issuer) -> None:
    with Issuer(realm="partner") as partner:
        guard = Guard(doorward.Verifier.any_of(issuer.verifier("churn"), partner.verifier("churn")), roles="scorer")
        token = partner.mint("bob", audience="churn", roles="scorer")
        assert guard.check([f"Bearer {token}"]).username == "bob"
        with pytest.raises(Refused) as refused:
            guard.check([f"Bearer {issuer.mint('alice', audience='churn')}"])
        assert refused.value.status == 403
        child = os.fork()
        if child == 0:
            os._exit(0 if guard.check([f"Bearer {token}"]).username == "bob" else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def opaque(issuer: Issuer) -> str:
    """An access token that is not a JWT."""
    issuer.add_client("batch", "secret", opaque_access_tokens=True, audience="churn", roles=["scorer"])
    token = doorward.Issuer(issuer.url).client_credentials("batch", secret="secret").token()
    assert token.count(".") != 2
    return token


@pytest.fixture
def churn(issuer: Issuer) -> doorward.Client:
    issuer.add_client("churn", "secret")
    return doorward.Client(doorward.Issuer(issuer.url), "churn", secret="secret")


def test_an_opaque_token_is_introspected(issuer: Issuer, churn: doorward.Client, opaque: str) -> None:
    verifier = churn.introspecting_verifier("churn")
    claims = verifier.verify(opaque)
    assert claims.client == "batch" and "scorer" in claims.roles and claims.issuer == issuer.url
    assert asyncio.run(verifier.verify_async(opaque)).client == "batch"
    assert issuer.requests("introspection") == 1, "an answer is remembered"
    with pytest.raises(doorward.WrongAudience):
        churn.introspecting_verifier("elsewhere").verify(opaque)
    with pytest.raises(doorward.TokenInactive):
        verifier.verify("unknown")
    with pytest.raises(doorward.MalformedToken):
        issuer.verifier("churn").verify(opaque)


def test_jwts_are_verified_here_beside_introspection(issuer: Issuer, churn: doorward.Client) -> None:
    verifier = churn.introspecting_verifier(["churn", "score"])
    assert verifier.verify(issuer.mint("alice", audience="score")).username == "alice"
    assert issuer.requests("introspection") == 0


def test_introspection_that_fails_is_no_fault_of_the_token(issuer: Issuer, churn: doorward.Client, opaque: str) -> None:
    issuer.fail("introspection", status=503)
    with pytest.raises(doorward.IssuerUnavailable):
        churn.introspecting_verifier("churn").verify(opaque)


def test_a_refresh_token_is_no_access_token_to_introspect(issuer: Issuer, churn: doorward.Client) -> None:
    issuer.add_user("alice")
    with pytest.raises(doorward.InvalidToken):
        churn.introspecting_verifier("churn").verify(issuer.log_in("alice")["refresh_token"])


def test_a_public_client_cannot_introspect(issuer: Issuer) -> None:
    client = doorward.Client(doorward.Issuer(issuer.url), "terminal", public=True)
    with pytest.raises(doorward.ConfigurationError, match="public"):
        client.introspecting_verifier("churn")


def test_one_of_several_issuers_introspects(issuer: Issuer, churn: doorward.Client, opaque: str) -> None:
    with Issuer(realm="partner") as partner:
        verifier = doorward.Verifier.any_of(partner.verifier("churn"), churn.introspecting_verifier("churn"))
        assert verifier.verify(opaque).client == "batch"
        assert verifier.verify(partner.mint("bob", audience="churn")).username == "bob"
        partner.add_client("churn", "secret")
        other = doorward.Client(doorward.Issuer(partner.url), "churn", secret="secret")
        with pytest.raises(doorward.ConfigurationError):
            doorward.Verifier.any_of(verifier, other.introspecting_verifier("churn"))
