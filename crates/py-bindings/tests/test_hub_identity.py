"""A name at the hub belongs to one issuer and subject, whatever names other issuers use."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest
from jupyterhub.crypto import CryptKeeper
from tornado import web

import doorward
from doorward.testing import Issuer

from .conftest import IDP, NAME
from .hub import Hub

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OTHER = "https://id.partner.example"


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for ``auth_state``."""
    monkeypatch.setattr(CryptKeeper.instance(), "keys", [os.urandom(32)])


def person(sub: str, idp: str = IDP, **claims: Any) -> dict[str, Any]:
    return {"claims": {"sub": sub, "idp": idp, **claims}}


def of_before(sub: str) -> dict[str, Any]:
    """As a gateway of an older version vouches."""
    return {"claims": {"sub": sub}, "without": "idp"}


async def refused(hub: Hub, status: int | None = None, **options: Any) -> bool:
    """True if the sign-in is refused: without an answer, or with this status."""
    try:
        return await hub.sign_in(**options) is None and status is None
    except web.HTTPError as error:
        return error.status_code == status


ANOTHER_PERSON = [("b1", OTHER), ("a1", OTHER), ("b1", IDP)]


@pytest.mark.parametrize("sub, idp", ANOTHER_PERSON)
@pytest.mark.parametrize("restarted", [False, True])
def test_the_same_name_of_another_person_is_refused(
    signer: Issuer, sealed: None, caplog: pytest.LogCaptureFixture, sub: str, idp: str, restarted: bool
) -> None:
    hub = Hub(signer, allowed_issuers={IDP, OTHER}, enable_auth_state=True)

    async def main() -> None:
        alice, other = person("a1"), person(sub, idp)
        model = await hub.sign_in(**alice)
        assert (model["auth_state"]["issuer"], model["auth_state"]["subject"]) == (IDP, "a1")
        if restarted:
            hub.restart()
        with caplog.at_level(logging.WARNING):
            assert await refused(hub, 403, **other)
        assert f"'alice' belongs to 'a1' of '{IDP}' at this hub: '{sub}' of '{idp}' is refused" in caplog.text
        assert await hub.refresh("alice", hub.vouched(**other)) is False
        assert hub.cleared, "what alice's cookies open in this browser ends"
        assert await hub.sign_in(**alice) is not None
        assert await hub.sign_in(**person(sub, idp, preferred_username="bob")) is not None, "by another name, another account"

    asyncio.run(main())


@pytest.mark.parametrize("sub", ["b1", "a1"])
def test_without_auth_state_the_name_is_kept_in_memory(signer: Issuer, sub: str) -> None:
    hub = Hub(signer)

    async def main() -> None:
        assert await hub.sign_in(**person("a1"))
        assert await refused(hub, **person(sub, OTHER)), "the hub is that of one issuer"
        assert sub == "a1" or await refused(hub, 403, **person(sub))
        assert await hub.sign_in(**person("a1"))

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [person("a1", OTHER), of_before("a1"), person("a1", IDP + "/"), person("a1", IDP.upper())])
def test_an_issuer_that_is_not_allowed_is_refused(signer: Issuer, wrong: dict[str, Any]) -> None:
    hub = Hub(signer, allowed_issuers={IDP})

    async def main() -> None:
        assert await refused(hub, **wrong)
        assert await hub.sign_in(**person("a1"))
        assert await hub.refresh("alice", hub.vouched(**wrong)) is False

    asyncio.run(main())


@pytest.mark.parametrize("idp", [None, "", 1, [IDP], {"url": IDP}])
def test_an_idp_that_is_not_a_string_is_refused(signer: Issuer, idp: Any) -> None:
    assert asyncio.run(refused(Hub(signer), claims={"idp": idp, "sub": "a1"}))


def test_a_second_issuer_is_refused_until_it_is_allowed(signer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub(signer, blocked_users={"mallory"})

    async def main() -> None:
        assert await refused(hub, **person("m1", OTHER, preferred_username="mallory"))
        assert await hub.sign_in(**person("a1")), "a person who is not let in decides nothing"
        assert await refused(hub, **person("b1", OTHER, preferred_username="bob"))
        assert "set allowed_issuers" in caplog.text
        assert await hub.sign_in(**person("c1", preferred_username="carol"))

    asyncio.run(main())


def test_the_single_issuer_is_that_of_the_hubs_client(signer: Issuer) -> None:
    hub = Hub(signer, issuer=IDP, client={"client_id": "jupyterhub", "secret": "-"})

    async def main() -> None:
        assert await refused(hub, **person("a1", OTHER)), "although it came first"
        assert await hub.sign_in(**person("a1"))

    asyncio.run(main())


def test_without_idp_the_subject_alone_identifies(signer: Issuer, sealed: None) -> None:
    hub = Hub(signer, enable_auth_state=True)

    async def main() -> None:
        assert (await hub.sign_in(**of_before("a1")))["auth_state"]["issuer"] is None
        assert await refused(hub, 403, **of_before("b1"))
        assert await hub.refresh("alice", hub.vouched(**of_before("a1"))) is True
        # One replica of the gateway is upgraded, then all of them.
        assert (await hub.refresh("alice", hub.vouched(**person("a1"))))["auth_state"]["issuer"] == IDP
        assert await hub.refresh("alice", hub.vouched(**of_before("a1"))) is True
        assert (await hub.sign_in(**person("a1")))["auth_state"]["issuer"] == IDP
        hub.restart()
        assert await refused(hub, 403, **person("a1", OTHER)), "what a newer gateway said is not forgotten"

    asyncio.run(main())


def test_a_refused_person_takes_no_name(signer: Issuer, sealed: None) -> None:
    hub = Hub(signer, allowed_issuers={IDP, OTHER}, enable_auth_state=True, allowed_roles={"scorer"})

    async def main() -> None:
        assert await refused(hub, **person("b1", OTHER, roles=["guest"]))
        assert await hub.sign_in(**person("a1"))
        hub.restart()
        assert await refused(hub, **person("b1", OTHER, roles=["guest"]))
        assert await hub.refresh("alice", hub.vouched(**person("a1"))) is not False

    asyncio.run(main())


def test_concurrent_sign_ins_do_not_share_an_account(signer: Issuer, sealed: None) -> None:
    hub = Hub(signer, allowed_issuers={IDP, OTHER}, enable_auth_state=True)

    async def main() -> None:
        # The hub has not made the account yet when the second one comes.
        assert await hub.authenticator.get_authenticated_user(hub.vouched(**person("a1")), None)
        assert await refused(hub, 403, **person("b1", OTHER))
        # It never did, or has renamed it since.
        hub.authenticator._taken_in["alice"] -= 61
        assert await hub.sign_in(**person("b1", OTHER))

    asyncio.run(main())


def test_the_operator_gives_names_by_issuer_and_subject(signer: Issuer, sealed: None) -> None:
    names = {OTHER: {"b1": "Alice-Partner", "c2": "carol"}, IDP: {"c1": "carol"}}
    hub = Hub(signer, allowed_issuers={IDP, OTHER}, enable_auth_state=True, usernames=names)

    async def main() -> None:
        assert (await hub.sign_in(**person("a1")))["name"] == "alice"
        assert (await hub.sign_in(**person("b1", OTHER)))["name"] == "alice-partner"
        assert await refused(hub, **person("d1", preferred_username="alice-partner")), "the name is given to another person"
        assert await refused(hub, **person("b1", preferred_username="alice-partner")), "the same subject elsewhere is another person"
        for carol in (person("c1"), person("c2", OTHER), person("c1")):
            assert (await hub.sign_in(**carol))["name"] == "carol", "one person with two identities"
            assert await hub.refresh("carol", hub.vouched(**carol)) is True

    asyncio.run(main())


def test_identities_that_share_a_name_share_no_tokens(signer: Issuer, sealed: None) -> None:
    with Issuer() as ours, Issuer() as theirs:
        names = {ours.url: {"c1": "carol"}, theirs.url: {"c2": "carol"}}
        hub = Hub(signer, allowed_issuers={ours.url, theirs.url}, enable_auth_state=True, usernames=names)

        async def main() -> None:
            shown = ("Authorization", f"Bearer {ours.mint('carol', claims={'sub': 'c1'})}")
            assert (await hub.sign_in(shown, **person("c1", ours.url)))["auth_state"]["tokens"]["access_token"]
            assert not (await hub.sign_in(**person("c2", theirs.url)))["auth_state"]["tokens"]["access_token"]

        asyncio.run(main())


def test_several_issuers_need_auth_state(signer: Issuer) -> None:
    with pytest.raises(doorward.ConfigurationError, match="need auth_state"):
        Hub(signer, allowed_issuers={IDP, OTHER})
    Hub(signer, allowed_issuers={IDP})


@pytest.mark.parametrize("usernames", [{IDP: "alice"}, {IDP: {"a1": 1}}, {IDP: {"a1": ""}}, {IDP: ["a1"]}])
def test_invalid_usernames_are_refused_at_start(signer: Issuer, usernames: Any) -> None:
    with pytest.raises(doorward.ConfigurationError, match="not a mapping of subjects to names"):
        Hub(signer, usernames=usernames)


def test_the_issuer_header_is_ignored(signer: Issuer) -> None:
    hub = Hub(signer, allowed_issuers={IDP})
    assert asyncio.run(hub.authenticator.authenticate(hub.request(("X-Forwarded-Issuer", IDP), (NAME, "a.b.c")))) is None
