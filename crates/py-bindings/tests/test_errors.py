"""Texts and facts of errors: the remedy is shown once, and what is documented is there."""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import doorward
from doorward.access import Guard, Refused
from doorward.testing import Issuer


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def refusal(issuer: Issuer, **options: Any) -> doorward.InvalidToken:
    with pytest.raises(doorward.InvalidToken) as refused:
        issuer.verifier("churn").verify(issuer.mint("alice", audience="churn", **options))
    return refused.value


@pytest.fixture
def failures(issuer: Issuer) -> list[doorward.DoorwardError]:
    wrong = doorward.Issuer(issuer.url).client_credentials("client", secret="wrong")

    def raised(ask: Any) -> doorward.DoorwardError:
        with pytest.raises(doorward.DoorwardError) as error:
            ask()
        return error.value

    unknown = doorward.Issuer(issuer.url)
    return [
        refusal(issuer, expired=True),
        refusal(issuer, wrong_key=True),
        refusal(issuer, kind="id"),
        raised(wrong.token),
        raised(lambda: unknown.verifier("")),
        raised(lambda: unknown.client_credentials("client")),
        raised(lambda: doorward.Issuer("not a url")),
    ]


def test_a_traceback_shows_the_remedy(failures: list[doorward.DoorwardError]) -> None:
    for error in failures:
        assert error.remedy
        # Once, in the text or in a note; Python 3.10 prints no notes.
        assert error.remedy in str(error) or error.__notes__ == [f"remedy: {error.remedy}"]
        assert (shown(error) if hasattr(error, "add_note") else shown(error) + str(error.remedy)).count(error.remedy) == 1
        assert "; " in str(error), "each text says what to do"


def test_an_error_survives_pickling(failures: list[doorward.DoorwardError]) -> None:
    for error in failures:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
        assert again.__dict__ == error.__dict__ and again.message == error.message


def test_a_caller_is_not_told_how_this_package_is_used(issuer: Issuer) -> None:
    with pytest.raises(Refused) as refused:
        Guard(issuer.verifier("churn")).check(f"Bearer {issuer.mint('alice', kind='id')}")
    assert "profile=" not in refused.value.detail


def test_the_first_failure_says_when_to_ask_again(issuer: Issuer) -> None:
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret")
    exchanged = tokens.exchange(audience="churn", subject_token=issuer.mint("alice"))
    issuer.fail("token", status=503)
    asks: list[Callable[[], Any]] = [tokens.token, exchanged.token, lambda: asyncio.run(tokens.token_async())]
    for ask in asks:
        with pytest.raises(doorward.IssuerUnavailable) as first:
            ask()
        assert first.value.retry_after is not None and 0 < first.value.retry_after <= 1


def test_a_refused_client_has_the_status_of_the_answer(issuer: Issuer) -> None:
    with pytest.raises(doorward.TokenRequestRefused) as refused:
        doorward.Issuer(issuer.url).client_credentials("client", secret="wrong").token()
    assert (refused.value.error, refused.value.status) == ("invalid_client", 401)


def test_remedies_are_true(issuer: Issuer) -> None:
    bound = refusal(issuer, claims={"typ": "DPoP"})
    assert (bound.code, bound.claim) == ("missing_claim", "cnf") and "key" in (bound.remedy or "")
    assert issuer.verifier("churn", algorithms=["Ed25519", "RS256"]).verify(issuer.mint("alice", audience="churn"))
    with pytest.raises(doorward.ConfigurationError):
        issuer.verifier("churn", algorithms="ed25519")
    with pytest.raises(doorward.AlgorithmNotAllowed) as other:
        issuer.verifier("churn", algorithms="ES256").verify(issuer.mint("alice", audience="churn"))
    assert "algorithms=" in (other.value.remedy or "")


def test_one_failed_exchange_holds_back_one_person(issuer: Issuer) -> None:
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret")
    issuer.add_client("churn", "x")
    for person in ("alice", "bob"):
        issuer.add_user(person)
    alice, bob = (issuer.log_in(person)["access_token"] for person in ("alice", "bob"))
    issuer.fail("token", status=500)
    with pytest.raises(doorward.IssuerUnavailable):
        tokens.exchange(audience="churn", subject_token=bob).token()
    issuer.heal()
    assert tokens.exchange(audience="churn", subject_token=alice).token()
    asked = issuer.requests("token")
    with pytest.raises(doorward.IssuerUnavailable):
        tokens.exchange(audience="churn", subject_token=bob).token()
    assert issuer.requests("token") == asked
