"""Gradio behind the gateway: the real thing, mounted as its documentation says, behind a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio
import httpx
import pytest
from fastapi import FastAPI
from gradio_client import Client

import doorward
from doorward.access import Refused
from doorward.asgi import GatewayAuth
from doorward.gradio import signed_in, signed_in_async, username
from doorward.testing import Issuer

from .conftest import NAME, assertion, served

# A warning of pandas about how Gradio counts its events.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")


@pytest.fixture
def verifier(gateway: doorward.Gateway) -> doorward.Verifier:
    return gateway.verifier(audience="scoring")


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")


def blocks(verifier: doorward.Verifier) -> gradio.Blocks:
    """An app whose events return the name of their sender."""

    def whoami(word: str, request: gradio.Request) -> str:
        return f"{word} {signed_in(request, verifier).username}, {request.username}"

    async def whoami_async(word: str, request: gradio.Request) -> str:
        return f"{word} {(await signed_in_async(request, verifier)).username}, {request.username}"

    def admin(word: str, request: gradio.Request) -> str:
        return f"{word} {signed_in(request, verifier, roles=['admin']).username}"

    def words(word: str, request: gradio.Request) -> Iterator[str]:
        for _ in range(2):
            yield f"{word} {signed_in(request, verifier).username}"

    made = gradio.Blocks()
    with made:
        said, shown = gradio.Textbox(), gradio.Textbox()
        for event in (whoami, whoami_async, admin, words):
            gradio.Button().click(event, said, shown, api_name=event.__name__)
    return made


def mounted(events: doorward.Verifier, auth_dependency: Any = None) -> Any:
    async def mount() -> Any:
        return gradio.mount_gradio_app(FastAPI(), blocks(events), path="/demand", auth_dependency=auth_dependency)

    # In a loop, or Gradio makes one and never closes it.
    return asyncio.run(mount())


@pytest.fixture
def app(verifier: doorward.Verifier) -> Iterator[str]:
    with served(mounted(verifier, username(verifier))) as url:
        yield url + "/demand"


def call(app: str, *headers: tuple[str, str], event: str = "whoami") -> httpx.Response:
    """Send an event; the answer to that, or what came of it."""
    with httpx.Client(headers=list(headers), timeout=30) as client:
        sent = client.post(f"{app}/gradio_api/call/{event}", json={"data": ["Hello"]})
        return client.get(f"{app}/gradio_api/call/{event}/{sent.json()['event_id']}") if sent.status_code == 200 else sent


def data(answer: httpx.Response) -> Any:
    last = answer.text.strip().split("\n\n")[-1].splitlines()
    assert last[0] == "event: complete", answer.text
    return json.loads(last[1].removeprefix("data: "))


@pytest.mark.parametrize("event", ["whoami", "whoami_async"])
def test_an_event_reads_its_sender(app: str, signer: Issuer, event: str) -> None:
    assert data(call(app, (NAME, assertion(signer)), event=event)) == ["Hello alice, alice"]
    bob = assertion(signer, claims={"preferred_username": "bob"})
    assert data(call(app, (NAME, bob), event=event)) == ["Hello bob, bob"]


def test_the_client_of_gradio_works_with_an_assertion(app: str, signer: Issuer) -> None:
    client = Client(app, headers={NAME: assertion(signer)}, verbose=False, analytics_enabled=False)
    assert client.predict("Hello", api_name="/whoami") == "Hello alice, alice"
    assert client.submit("Hello", api_name="/words").result(30) == "Hello alice"
    client.close()


def test_an_event_without_an_assertion_is_refused(app: str, signer: Issuer) -> None:
    good = assertion(signer)
    for headers in (
        [],
        [(NAME, assertion(signer, audience="another-route"))],
        [(NAME, assertion(signer, wrong_key=True))],
        [(NAME, good), (NAME, good)],
        [("Authorization", f"Bearer {good}")],
        [("X-Forwarded-User", "alice")],
    ):
        answer = call(app, *headers)
        assert (answer.status_code, answer.json()["detail"]["error"]) == (401, "Not authenticated"), headers
        assert httpx.get(app + "/", headers=headers).status_code == 401
    assert httpx.get(app + "/", headers={NAME: good}).status_code == 200


def test_an_event_can_require_more_than_its_page(app: str, signer: Issuer) -> None:
    refused = call(app, (NAME, assertion(signer)), event="admin")
    assert "event: error" in refused.text and "Hello" not in refused.text
    admin = assertion(signer, claims={"roles": ["admin"]})
    assert data(call(app, (NAME, admin), event="admin")) == ["Hello alice"]


def test_a_page_can_require_a_role(verifier: doorward.Verifier, signer: Issuer) -> None:
    with served(mounted(verifier, username(verifier, roles=["admin"]))) as url:
        assert call(url + "/demand", (NAME, assertion(signer))).status_code == 401
        admin = assertion(signer, claims={"roles": ["admin"]})
        assert data(call(url + "/demand", (NAME, admin))) == ["Hello alice, alice"]


def test_links_lead_back_through_the_gateway(app: str, signer: Issuer) -> None:
    """Without a rewrite, as docs/guides/dashboards.md has it."""
    headers = {NAME: assertion(signer), "X-Forwarded-Host": "platform.example", "X-Forwarded-Proto": "https"}
    assert httpx.get(app + "/config", headers=headers).json()["root"] == "https://platform.example/demand"


@pytest.fixture
def without_keys(signer: Issuer) -> doorward.Verifier:
    """Cannot verify anything, as if every assertion had ended."""
    return doorward.Gateway(signer.url, keys_url=signer.url + "/nowhere").verifier("scoring")


def test_an_event_that_waited_keeps_its_sender(verifier: doorward.Verifier, without_keys: doorward.Verifier, signer: Issuer) -> None:
    with served(mounted(without_keys, username(verifier))) as url:
        assert data(call(url + "/demand", (NAME, assertion(signer)))) == ["Hello alice, alice"]


def test_the_middleware_guards_gradios_public_paths(
    verifier: doorward.Verifier, without_keys: doorward.Verifier, signer: Issuer
) -> None:
    with served(GatewayAuth(mounted(without_keys), verifier)) as url:
        for path in ("/", "/gradio_api/app_id", "/gradio_api/startup-events", "/theme.css"):
            assert httpx.get(f"{url}/demand{path}").status_code == 401, path
            assert httpx.get(f"{url}/demand{path}", headers={NAME: assertion(signer)}).status_code == 200, path
        assert call(url + "/demand").status_code == 401
        assert data(call(url + "/demand", (NAME, assertion(signer)))) == ["Hello alice, None"]


def test_claims_for_another_application_are_not_reused(verifier: doorward.Verifier, gateway: doorward.Gateway, signer: Issuer) -> None:
    scope: dict[str, Any] = {"doorward": gateway.verifier("another-route").verify(assertion(signer, audience="another-route"))}
    request = SimpleNamespace(headers={}, scope=scope)
    with pytest.raises(Refused, match="did not come through the gateway"):
        signed_in(request, verifier)
    scope["doorward"] = verifier.verify(assertion(signer))
    assert signed_in(request, verifier).username == "alice"


def test_gradio_can_call_in_a_thread_or_in_its_loop(verifier: doorward.Verifier, signer: Issuer) -> None:
    request = SimpleNamespace(headers={NAME.lower(): assertion(signer)})
    assert username(verifier)(request) == "alice"
    assert username(verifier, roles=["admin"])(request) is None
    assert username(verifier)(SimpleNamespace(headers={})) is None

    async def in_the_loop() -> str | None:
        answer = username(verifier)(request)
        assert answer is not None and not isinstance(answer, str)
        return await answer

    assert asyncio.run(in_the_loop()) == "alice"


def test_a_refusal_has_no_challenge(verifier: doorward.Verifier, signer: Issuer) -> None:
    for status, headers in ((401, {NAME.lower(): "nonsense"}), (403, {NAME.lower(): assertion(signer)})):
        with pytest.raises(Refused) as caught:
            signed_in(SimpleNamespace(headers=headers), verifier, roles=["admin"])
        assert (caught.value.status, "WWW-Authenticate" in caught.value.headers) == (status, False)
