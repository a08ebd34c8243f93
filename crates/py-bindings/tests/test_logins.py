"""Logins of people by a web application: what the caller keeps, what comes back, and what is refused."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import doorward
from doorward.testing import Issuer

CALLBACK = "https://portal.example/callback"


@pytest.fixture
def portal(issuer: Issuer) -> doorward.Client:
    issuer.add_client("portal", "secret", redirect_uri=CALLBACK, audience="portal")
    issuer.add_user("alice", subject="a1", roles=["data-scientist"])
    return doorward.Client(doorward.Issuer(issuer.url), "portal", secret="secret")


def came_back(issuer: Issuer, pending: doorward.PendingLogin, username: str = "alice") -> str:
    """The query with which the browser comes back."""
    assert pending.url is not None
    return urlsplit(issuer.sign_in(pending.url, username)).query


def test_a_login_brings_verified_claims_and_tokens(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK, scope="profile email", prompt="login", login_hint="alice", parameters={"kc_idp_hint": "corp"})
    login = portal.finish_login(came_back(issuer, pending), pending)
    assert isinstance(login.claims, doorward.Claims)
    assert login.claims.subject == "a1" and login.claims.audience == {"portal"}
    assert login.token_type == "Bearer" and login.refresh_token and login.id_token
    assert "data-scientist" in issuer.verifier("portal").verify(login.access_token).roles


def test_a_login_awaited(issuer: Issuer, portal: doorward.Client) -> None:
    async def log_in() -> doorward.TokenSet:
        pending = await portal.begin_login_async(CALLBACK)
        query = await asyncio.to_thread(came_back, issuer, pending)
        login = await portal.finish_login_async(query, pending)
        assert login.claims is not None and login.refresh_token is not None
        assert (await portal.user_info_async(login.access_token, subject="a1"))["preferred_username"] == "alice"
        next_tokens = await portal.refresh_async(login.refresh_token, subject="a1")
        assert next_tokens.refresh_token is not None
        assert await portal.logout_url_async() is not None
        await portal.revoke_async(next_tokens.refresh_token)
        return next_tokens

    tokens = asyncio.run(log_in())
    with pytest.raises(doorward.TokenRequestRefused) as refused:
        portal.refresh(tokens.refresh_token or "", subject="a1")
    assert refused.value.error == "invalid_grant" and refused.value.status == 400


def test_the_request_has_what_was_asked_for(portal: doorward.Client) -> None:
    with pytest.raises(doorward.TokenRequestRefused) as refused:
        portal.begin_login(CALLBACK, scope=["openid", "score"])
    assert refused.value.error == "invalid_scope" and "score" in str(refused.value)
    pending = portal.begin_login(CALLBACK, scope="openid email", acr_values="gold silver", max_age=60)
    again = portal.begin_login(CALLBACK)
    assert pending.state != again.state
    # The dev issuer takes pushed requests, so that the address shows nothing of the request.
    asked = parse_qs(urlsplit(pending.url or "").query)
    assert set(asked) == {"client_id", "request_uri"}


def test_the_state_is_kept_as_text(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    kept = doorward.PendingLogin.from_json(pending.to_json())
    assert kept.state == pending.state and kept.url is None
    assert portal.finish_login(came_back(issuer, pending), kept).claims


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state":"hunter2"}', '{"state":1,"hunter2":"hunter2"}'])
def test_a_text_that_is_no_pending_login_is_refused(text: str) -> None:
    with pytest.raises(doorward.ConfigurationError) as wrong:
        doorward.PendingLogin.from_json(text)
    assert "hunter2" not in str(wrong.value)


def test_the_secrets_of_a_login_are_not_shown(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    login = portal.finish_login(came_back(issuer, pending), pending)
    shown = repr(pending) + repr(login) + repr(portal)
    for secret in [pending.state, login.access_token, login.refresh_token, login.id_token, "secret"]:
        assert secret and secret not in shown
    for value in (pending, login, portal):
        with pytest.raises(TypeError):
            pickle.dumps(value)
    assert copy.copy(portal) is portal and copy.deepcopy(portal) is portal


def test_the_tokens_of_a_login_as_a_dictionary(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    login = portal.finish_login(came_back(issuer, pending), pending)
    kept = login.to_dict()
    assert kept["access_token"] == login.access_token and kept["refresh_token"] == login.refresh_token
    assert login.expires_at and kept["expires_at"] == pytest.approx(login.expires_at.timestamp())
    assert set(kept) == {"access_token", "refresh_token", "id_token", "token_type", "scope", "expires_at", "refresh_expires_at"}


def test_an_answer_to_another_login_is_refused(issuer: Issuer, portal: doorward.Client) -> None:
    mine, other = portal.begin_login(CALLBACK), portal.begin_login(CALLBACK)
    query = came_back(issuer, other)
    asked = issuer.requests("token")
    for answer, code in [
        (query, "wrong_state"),
        ("", "missing_state"),
        ("code=a", "missing_state"),
        (query + "&state=" + mine.state, "duplicate_parameter"),
        (f"code=a&state={mine.state}&iss=https%3A%2F%2Fevil.example", "wrong_issuer"),
        (f"state={mine.state}&code=a", "missing_issuer"),
        ("a" * 20_000, "too_large"),
    ]:
        with pytest.raises(doorward.LoginRefused) as refused:
            portal.finish_login(answer, mine)
        assert refused.value.code == code, answer[:80]
    assert issuer.requests("token") == asked, "no code is sent for such an answer"


def test_a_refusal_of_the_issuer_names_its_error(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    query = f"error=access_denied&error_description=no+consent&state={pending.state}&iss={issuer.url}"
    with pytest.raises(doorward.LoginRefused) as refused:
        portal.finish_login(query, pending)
    assert (refused.value.code, refused.value.error, refused.value.description) == ("provider_error", "access_denied", "no consent")
    assert refused.value.remedy


def test_a_code_is_used_once(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    query = came_back(issuer, pending)
    portal.finish_login(query, pending)
    with pytest.raises(doorward.TokenRequestRefused) as refused:
        portal.finish_login(query, pending)
    assert refused.value.error == "invalid_grant"


def test_a_code_needs_the_verifier_of_its_login(issuer: Issuer, portal: doorward.Client) -> None:
    mine, other = portal.begin_login(CALLBACK), portal.begin_login(CALLBACK)
    (code,) = parse_qs(came_back(issuer, other))["code"]
    with pytest.raises(doorward.TokenRequestRefused):
        portal.finish_login(f"code={code}&state={mine.state}&iss={issuer.url}", mine)


def test_a_public_client_logs_in_without_a_credential(issuer: Issuer) -> None:
    issuer.add_client("terminal", redirect_uri=CALLBACK)
    issuer.add_user("alice", subject="a1")
    client = doorward.Client(doorward.Issuer(issuer.url), "terminal", public=True)
    pending = client.begin_login(CALLBACK)
    login = client.finish_login(came_back(issuer, pending), pending)
    assert login.claims is not None and login.claims.subject == "a1"
    assert client.refresh(login.refresh_token or "", subject="a1").access_token


def test_a_client_without_a_credential_says_so(issuer: Issuer) -> None:
    trusted = doorward.Issuer(issuer.url)
    wrong: list[dict[str, Any]] = [{}, {"public": True, "secret": "x"}, {"secret": "x", "secret_file": "y"}, {"public": True, "method": "client_secret_post"}]
    for options in wrong:
        with pytest.raises(doorward.ConfigurationError):
            doorward.Client(trusted, "portal", **options)
    with pytest.raises(doorward.ConfigurationError):
        doorward.Client(trusted, "", public=True)


def test_arguments_that_have_no_such_value(portal: doorward.Client) -> None:
    for address in ["", "callback", "/callback", "ftp://portal.example", "https://portal.example/#x"]:
        with pytest.raises(doorward.ConfigurationError):
            portal.begin_login(address)
    for name in ["state", "nonce", "redirect_uri", "code_challenge", "client_id", "request"]:
        with pytest.raises(doorward.ConfigurationError, match=name):
            portal.begin_login(CALLBACK, parameters={name: "x"})
    with pytest.raises(doorward.ConfigurationError):
        portal.revoke("x", token_type_hint="id_token")  # type: ignore[arg-type]
    for empty in (lambda: portal.refresh("", subject="a1"), lambda: portal.refresh("x", subject=""), lambda: portal.revoke("")):
        with pytest.raises(doorward.ConfigurationError):
            empty()


def test_another_persons_tokens_are_refused(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    login = portal.finish_login(came_back(issuer, pending), pending)
    with pytest.raises(doorward.WrongSubject):
        portal.user_info(login.access_token, subject="b2")
    with pytest.raises(doorward.WrongSubject):
        portal.refresh(login.refresh_token or "", subject="b2")


def test_a_token_is_revoked(issuer: Issuer, portal: doorward.Client) -> None:
    pending = portal.begin_login(CALLBACK)
    login = portal.finish_login(came_back(issuer, pending), pending)
    assert portal.revoke(login.refresh_token or "") is None  # type: ignore[func-returns-value]
    portal.revoke("unknown", token_type_hint="access_token")
    with pytest.raises(doorward.TokenRequestRefused):
        portal.refresh(login.refresh_token or "", subject="a1")


def test_an_issuer_that_is_down_may_be_tried_again(issuer: Issuer, portal: doorward.Client) -> None:
    with issuer.outage(), pytest.raises(doorward.IssuerUnavailable) as down:
        portal.begin_login(CALLBACK)
    assert down.value.retry_after is not None


def test_the_logout_url_names_the_session(issuer: Issuer, portal: doorward.Client) -> None:
    url = portal.logout_url(id_token="eyJ", post_logout_redirect_uri="https://portal.example/", state="s")
    assert url and url.startswith(issuer.url)
    asked = parse_qs(urlsplit(url).query)
    assert asked == {"client_id": ["portal"], "id_token_hint": ["eyJ"], "post_logout_redirect_uri": ["https://portal.example/"], "state": ["s"]}


def test_tokens_of_a_person_wait_or_are_awaited(issuer: Issuer) -> None:
    issuer.add_user("alice")
    refresh_token = issuer.log_in("alice")["refresh_token"]
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret")
    first = tokens.person(refresh_token=refresh_token)
    second = asyncio.run(tokens.person_async(refresh_token=first["refresh_token"]))
    assert set(first) == set(second) and first["access_token"] != second["access_token"]
