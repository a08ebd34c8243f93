"""Objects in a program: copied, compared, forgotten, made from invalid arguments."""

from __future__ import annotations

import copy
import dataclasses
import gc
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import doorward
from doorward.access import GatewayGuard, Guard
from doorward.asgi import BearerAuth, GatewayAuth
from doorward.testing import Issuer


@pytest.fixture
def claims(issuer: Issuer) -> doorward.Claims:
    return issuer.verifier("churn").verify(issuer.mint("alice", audience="churn", roles=["scorer"]))


# === awaiting ===


def test_a_missing_await_gives_a_warning(issuer: Issuer, tokens: doorward.TokenSource) -> None:
    verifier = issuer.verifier("churn")
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Verifier\.verify_async' was never awaited"):
        # It is true whatever the token is.
        assert verifier.verify_async("no token at all")
        gc.collect()
    with pytest.warns(RuntimeWarning, match=r"coroutine 'TokenSource\.token_async' was never awaited"):
        _ = tokens.token_async()
        del _
        gc.collect()


def test_a_closed_or_cancelled_await_gives_no_warning(tokens: doorward.TokenSource) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens.token_async().close()
        waiting = tokens.token_async()
        with pytest.raises(GeneratorExit):
            waiting.throw(GeneratorExit)
        del waiting
        gc.collect()


# === copies ===


def test_a_copy_is_the_same_object(issuer: Issuer, tokens: doorward.TokenSource, claims: doorward.Claims) -> None:
    trusted = doorward.Issuer(issuer.url)
    for thing in (trusted, doorward.Gateway("https://platform.example"), trusted.verifier("churn"), tokens, claims):
        assert copy.copy(thing) is thing
        assert copy.deepcopy({"deep": [thing]})["deep"][0] is thing
        assert weakref.ref(thing)() is thing

    @dataclasses.dataclass
    class Settings:
        tokens: doorward.TokenSource

    assert dataclasses.asdict(Settings(tokens)) == {"tokens": tokens}


# === claims as a mapping ===


def test_claims_compare_as_mappings_do(issuer: Issuer, claims: doorward.Claims) -> None:
    assert claims == claims.to_dict() == {**claims}
    assert claims.to_dict() == claims
    assert claims != {**claims, "more": 1} and claims != "claims" and claims != {}
    token = issuer.mint("alice", audience="churn")
    one, two = (issuer.verifier("churn").verify(token) for _ in range(2))
    assert one is not two and one == two and hash(one) == hash(two)
    assert len({one, two, claims}) == 2
    match claims:
        case {"sub": subject, "typ": "Bearer"}:
            assert subject == claims.subject
        case _:
            raise AssertionError("claims are no mapping")


# === what cannot work ===


def without_effect(issuer: doorward.Issuer, **given: Any) -> Callable[[], object]:
    return lambda: issuer.client_credentials(**{"client_id": "job", **given})


def test_invalid_arguments_are_refused_when_given() -> None:
    issuer = doorward.Issuer("https://id.example")
    for code, make in (
        ("audience", lambda: issuer.verifier(["churn", ""])),
        ("audience", lambda: issuer.verifier([])),
        ("algorithms", lambda: issuer.verifier("churn", algorithms=[])),
        ("timeout", lambda: doorward.Issuer("https://id.example", timeout=0)),
        ("timeout", lambda: doorward.Gateway("https://platform.example", timeout=0)),
        ("client_id", without_effect(issuer, client_id="", secret="secret")),
        ("client_authentication", without_effect(issuer, secret="")),
    ):
        with pytest.raises(doorward.ConfigurationError) as caught:
            make()
        assert caught.value.code == code, str(caught.value)
        assert caught.value.remedy


def test_an_unusable_cache_folder_gives_a_warning(tmp_path: Path, issuer: Issuer) -> None:
    open_to_all, file = tmp_path / "open", tmp_path / "file"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file.write_text("")
    for folder, why in ((open_to_all, "others may write to it"), (file / "below", "not shared")):
        with pytest.warns(RuntimeWarning, match=why):
            tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret", cache_dir=folder)
        assert tokens.token()


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("reached")


def test_a_guard_refuses_a_verifier_of_the_other_kind(issuer: Issuer, gateway: doorward.Gateway) -> None:
    tokens, assertions = issuer.verifier("churn"), gateway.verifier("scoring")
    assert (tokens.kind, assertions.kind) == ("access_token", "assertion")
    for wrong in (
        lambda: Guard(assertions),
        lambda: BearerAuth(app, assertions),
        lambda: GatewayGuard(tokens),
        lambda: GatewayAuth(app, tokens),
    ):
        with pytest.raises(doorward.ConfigurationError) as caught:
            wrong()
        assert caught.value.code == "verifier"
        assert "verifier(…)" in (caught.value.remedy or "")


def test_wrong_audience_carries_both_audiences(issuer: Issuer) -> None:
    with pytest.raises(doorward.WrongAudience) as caught:
        issuer.verifier("churn").verify(issuer.mint(audience="elsewhere"))
    assert (caught.value.expected, caught.value.found) == (("churn",), ("elsewhere",))


def test_a_malformed_token_is_described_once(issuer: Issuer) -> None:
    with pytest.raises(doorward.MalformedToken, match=r"^the token cannot be read: it has no dots"):
        issuer.verifier("churn").verify("nonsense")
