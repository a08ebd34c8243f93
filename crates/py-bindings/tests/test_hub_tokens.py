"""Tokens that notebooks get from the hub: of which person, for how long, and after the session has ended."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.crypto import CryptKeeper
from tornado import web

import doorward
from doorward.jupyterhub.handlers import TokenHandler
from doorward.jupyterhub.tokens import PersonTokens, SessionEnded, TokenKeeper, peek
from doorward.notebook import SignInNeeded
from doorward.testing import Issuer

from .hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def keeper(issuer: Issuer) -> TokenKeeper:
    issuer.add_client("portal", "-", audience="client")
    return TokenKeeper(doorward.Issuer(issuer.url).client_credentials("client", secret="secret"))


def shown(issuer: Issuer, name: str = "alice") -> str:
    """An access token as the gateway shows it: of another client, meant for the hub's too."""
    issuer.add_user(name)
    return str(issuer.log_in(name, "portal")["access_token"])


def test_a_users_tokens_are_refreshed_and_survive_a_restart(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        token = shown(issuer)
        assert await keeper.shown("alice", None, token) is True
        assert await keeper.shown("alice", None, token) is False
        assert issuer.requests("token") == 1, "one exchange"
        tokens, changed = await keeper.fresh("alice", None)
        first = tokens.access_token
        assert (changed, peek(first or "")["azp"]) == (False, "client")
        tokens.expires_at = time.time() + 5
        together = await asyncio.gather(*(keeper.fresh("alice", None) for _ in range(20)))
        assert issuer.requests("token") == 2, "one refresh for all who ask"
        assert {each.access_token for each, _ in together} == {tokens.access_token} != {first}
        assert [changed for _, changed in together].count(True) == 1
        # A restart of the hub: what it has kept is enough.
        state = tokens.write()
        state["expires_at"] = time.time()
        again, changed = await TokenKeeper(keeper._source).fresh("alice", state)
        assert changed and peek(again.access_token or "")["preferred_username"] == "alice"

    asyncio.run(main())


def test_a_new_session_brings_new_tokens(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        assert await keeper.shown("alice", None, shown(issuer))
        before = keeper.kept("alice", None).session
        assert await keeper.shown("alice", None, shown(issuer))
        assert keeper.kept("alice", None).session != before

    asyncio.run(main())


def test_an_ended_session_is_reported_once_and_forgotten(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        await keeper.shown("alice", None, shown(issuer))
        tokens = keeper.kept("alice", None)
        tokens.expires_at, tokens.refresh_token = time.time(), "nonsense"
        with pytest.raises(SessionEnded):
            await keeper.fresh("alice", None)
        assert tokens.refresh_token is None and tokens.access_token is None
        with pytest.raises(SignInNeeded) as raised:
            await keeper.fresh("alice", None)
        assert not isinstance(raised.value, SessionEnded)
        assert await keeper.shown("alice", None, shown(issuer)), "the next sign-in gives new tokens"

    asyncio.run(main())


def test_an_outage_of_the_issuer_ends_no_session(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        await keeper.shown("alice", None, shown(issuer))
        tokens = keeper.kept("alice", None)
        tokens.expires_at = time.time()
        with issuer.outage(), pytest.raises(doorward.IssuerUnavailable):
            await keeper.fresh("alice", None)
        assert (await keeper.fresh("alice", None))[1] is True

    asyncio.run(main())


def test_a_token_that_cannot_be_exchanged_is_sent_once(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        for _ in range(3):
            try:
                await keeper.shown("alice", None, "a.b.c")
            except doorward.TokenRequestRefused:
                pass
        assert issuer.requests("token") == 1

    asyncio.run(main())


def test_an_outage_of_the_issuer_delays_one_request(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        assert await keeper.shown("bob", None, shown(issuer, "bob"))
        token = shown(issuer)
        with issuer.outage(), pytest.raises(doorward.IssuerUnavailable):
            await keeper.shown("alice", None, token)
        assert await keeper.shown("alice", None, token) is False
        assert issuer.requests("token") == 1
        keeper._people["alice"].pause = 0.0
        assert await keeper.shown("alice", None, token) is True

    asyncio.run(main())


def test_signing_in_again_after_a_sign_out_gives_tokens(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        token = shown(issuer)
        assert await keeper.shown("alice", None, token)
        keeper.forget("alice")
        assert await keeper.shown("alice", None, token)

    asyncio.run(main())


def test_a_token_that_arrives_after_a_sign_out_is_not_kept(issuer: Issuer, keeper: TokenKeeper) -> None:
    async def main() -> None:
        await keeper.shown("alice", None, shown(issuer))
        keeper.kept("alice", None).expires_at = time.time()
        issuer.fail("token", delay=0.3)
        asking = asyncio.create_task(keeper.fresh("alice", None))
        while issuer.requests("token") < 2:
            await asyncio.sleep(0.01)
        keeper.forget("alice")
        await asking
        kept = keeper.kept("alice", None)
        assert (kept.access_token, kept.refresh_token) == (None, None)

    asyncio.run(main())


def test_without_a_client_the_hub_passes_on_the_received_token(issuer: Issuer) -> None:
    async def main() -> None:
        keeper, token = TokenKeeper(None), shown_by_default(issuer)
        assert await keeper.shown("alice", None, token) is True
        tokens, changed = await keeper.fresh("alice", None)
        assert (tokens.access_token, changed) == (token, False)
        tokens.expires_at = time.time()
        with pytest.raises(SignInNeeded):
            await keeper.fresh("alice", None)

    asyncio.run(main())


def shown_by_default(issuer: Issuer) -> str:
    issuer.add_user("alice")
    return str(issuer.log_in("alice")["access_token"])


def test_a_notebook_gets_an_access_token_and_no_refresh_token(signer: Issuer, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CryptKeeper.instance(), "keys", [os.urandom(32)])
    issuer.add_client("portal", "-", audience="client")
    issuer.add_client("churn", "-")
    hub = Hub(
        signer,
        enable_auth_state=True,
        issuer=issuer.url,
        client={"client_id": "client", "secret": "secret"},
        token_audiences={"churn"},
    )
    token = shown(issuer)
    subject = peek(token)["sub"]

    async def main() -> None:
        model = await hub.sign_in(("Authorization", f"Bearer {token}"), claims={"sub": subject, "idp": issuer.url})
        kept = model["auth_state"]["tokens"]
        alice = hub.people["alice"]
        answer = await hub.authenticator.token_for(alice, None)
        assert set(answer) == {"access_token", "token_type", "expires_in"}
        assert answer["access_token"] == kept["access_token"] and 200 < answer["expires_in"] <= 300
        other = await hub.authenticator.token_for(alice, "churn")
        assert issuer.verifier("churn").verify(other["access_token"]).username == "alice"
        with pytest.raises(doorward.ConfigurationError):
            await hub.authenticator.token_for(alice, "payroll")
        await hub.authenticator.forget(alice)
        assert (await alice.get_auth_state())["tokens"]["refresh_token"] is None
        with pytest.raises(SignInNeeded):
            await hub.authenticator.token_for(alice, None)

    asyncio.run(main())


@pytest.mark.parametrize("body", [["audience"], "churn", 1, {"audience": 1}])
def test_an_invalid_request_of_a_notebook_is_400(body: Any) -> None:
    handler: Any = SimpleNamespace(_owner_of_server=lambda: None, get_json_body=lambda: body)
    with pytest.raises(web.HTTPError) as raised:
        asyncio.run(TokenHandler.post(handler))
    assert raised.value.status_code == 400


def test_a_token_of_another_user_is_not_kept(signer: Issuer, issuer: Issuer) -> None:
    hub = Hub(signer, issuer=issuer.url, client={"client_id": "client", "secret": "secret"})
    model = asyncio.run(hub.sign_in(("Authorization", f"Bearer {shown_by_default(issuer)}"), claims={"sub": "another-subject", "idp": issuer.url}))
    assert model["auth_state"]["tokens"]["access_token"] is None


def test_a_token_of_another_issuer_is_neither_kept_nor_sent(signer: Issuer, issuer: Issuer) -> None:
    """The subject alone is no reason: two issuers may use the same."""
    token = shown_by_default(issuer)
    with Issuer() as other:
        for client, idp in (
            ({}, other.url),  # signed in by the one, shown a token of the other
            ({"issuer": other.url, "client": {"client_id": "client", "secret": "secret"}}, None),  # the hub's client is elsewhere
        ):
            claims = {"sub": peek(token)["sub"], "idp": idp}
            hub = Hub(signer, **client)
            model = asyncio.run(hub.sign_in(("Authorization", f"Bearer {token}"), claims=claims, without=[] if idp else "idp"))
            assert model["auth_state"]["tokens"]["access_token"] is None
        assert other.requests("all") == 0


def test_tokens_are_never_shown() -> None:
    tokens = PersonTokens(access_token="secret-a", refresh_token="secret-b")
    assert "secret" not in repr(tokens)
    assert peek("nonsense") == peek("a.!.c") == peek("a.W10.c") == {}
