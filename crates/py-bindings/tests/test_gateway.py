"""Services behind the gateway accept its assertion, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.runtime.context import ContextProxy, StreamlitHeaders
from streamlit.testing.v1 import AppTest

import doorward
import doorward.asgi
import doorward.wsgi
from doorward.testing import Issuer

from .conftest import NAME, assertion
from .test_services import Ask, asgi, wsgi


@pytest.fixture
def verifier(gateway: doorward.Gateway) -> doorward.Verifier:
    return gateway.verifier(audience="scoring")


def test_an_assertion_gives_its_claims(signer: Issuer, verifier: doorward.Verifier) -> None:
    claims = verifier.verify(assertion(signer))
    assert claims.username == "alice"
    assert claims.roles == {"scorer"}
    assert claims.client_roles("churn") == {"admin"}
    assert claims.groups == {"/finance"}
    assert claims.client == "airflow-run"
    assert claims.audience == {"scoring"}
    assert asyncio.run(verifier.verify_async(assertion(signer))).subject == claims.subject
    assert verifier.issuer == signer.url


def test_an_assertion_is_remembered_until_the_key_changes(signer: Issuer, gateway: doorward.Gateway) -> None:
    verifier = gateway.verifier(audience="scoring")
    first = assertion(signer)
    claims = verifier.verify(first)
    assert verifier.verify(first) is claims
    with pytest.raises(StopIteration) as caught:
        verifier.verify_async(first).send(None)
    assert caught.value.value is claims
    signer.rotate()
    signer.remove_old_keys()
    assert verifier.verify(assertion(signer)) is not claims
    with pytest.raises(doorward.UnknownKey):
        verifier.verify(first)


def test_an_invalid_assertion_is_refused(signer: Issuer, verifier: doorward.Verifier) -> None:
    for expected, options in (
        (doorward.WrongAudience, {"audience": "another-route"}),
        (doorward.WrongIssuer, {"issuer": "https://evil.example"}),
        (doorward.TokenExpired, {"expired": True}),
        (doorward.BadSignature, {"wrong_key": True}),
        (doorward.AlgorithmNotAllowed, {"unsigned": True}),
        (doorward.MissingClaim, {"without": ["sub"]}),
    ):
        with pytest.raises(expected):
            verifier.verify(assertion(signer, **options))
    with pytest.raises(doorward.WrongTokenType):
        verifier.verify(signer.mint("alice", audience="scoring"))


def test_keys_are_fetched_from_the_gateway() -> None:
    gateway = doorward.Gateway("https://platform.example/")
    assert gateway.url == "https://platform.example"
    for wrong in ("http://platform.example", "platform.example"):
        with pytest.raises(doorward.ConfigurationError):
            doorward.Gateway(wrong)
    with pytest.raises(doorward.ConfigurationError):
        doorward.Gateway("https://platform.example", keys_url="http://gateway:8080/oauth2/jwks")


def an_asgi(verifier: doorward.Verifier, **options: Any) -> Ask:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = json.dumps(scope["doorward"].username).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return asgi(doorward.asgi.GatewayAuth(app, verifier, **options))


def a_wsgi(verifier: doorward.Verifier, **options: Any) -> Ask:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps(environ["doorward"].username).encode()]

    return wsgi(doorward.wsgi.GatewayAuth(app, verifier, **options))


@pytest.fixture(params=[an_asgi, a_wsgi], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest, verifier: doorward.Verifier) -> Callable[..., Ask]:
    return lambda **options: request.param(verifier, **options)


def test_an_assertion_passes(make: Callable[..., Ask], signer: Issuer) -> None:
    answer = make()((NAME, assertion(signer)))
    assert (answer.status, answer.body) == (200, "alice")


def test_only_the_assertion_identifies_the_user(make: Callable[..., Ask], signer: Issuer) -> None:
    ask = make()
    good = assertion(signer)
    assert ask().status == 401
    assert ask(("X-Forwarded-User", "alice"), ("X-Forwarded-Roles", "scorer")).status == 401
    assert ask(("Authorization", f"Bearer {good}")).status == 401
    assert ask(("Cookie", f"{NAME}={good}")).status == 401
    assert ask((NAME, "")).status == 401
    assert ask((NAME, assertion(signer, wrong_key=True))).status == 401
    assert ask((NAME, good), (NAME, assertion(signer))).status == 401


def test_a_refusal_has_no_challenge(make: Callable[..., Ask], signer: Issuer) -> None:
    answer = make(roles=["admin"])((NAME, assertion(signer)))
    assert answer.status == 403
    assert "www-authenticate" not in answer.headers
    assert answer.body["detail"] == "the role must be one of: admin"
    assert make(roles=["scorer"])((NAME, assertion(signer))).status == 200


def test_streamlit_keeps_the_user_while_the_page_is_open(
    verifier: doorward.Verifier, signer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers: list[tuple[str, str]] = [(NAME, assertion(signer))]
    # Streamlit makes the page the main module, and leaves it there.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: StreamlitHeaders(headers)))
    monkeypatch.setattr(doorward, "verifier_of_the_test", verifier, raising=False)

    def page() -> None:
        import streamlit as st

        import doorward
        import doorward.streamlit

        st.write(doorward.streamlit.signed_in(doorward.verifier_of_the_test, roles=["scorer"]).username)  # type: ignore[attr-defined]

    app = AppTest.from_function(page).run()
    assert [shown.value for shown in app.markdown] == ["alice"]
    # The connection's headers stay what they were; the page need not be verified again, and is not.
    down = doorward.Gateway(verifier.issuer, keys_url="http://127.0.0.1:9/jwks")
    monkeypatch.setattr(doorward, "verifier_of_the_test", down.verifier(["scoring", "demand"]))
    assert [shown.value for shown in app.run().markdown] == ["alice"]
    # A remembered assertion counts neither for another audience nor for another gateway.
    for other in (down.verifier("payroll"), doorward.Gateway("https://down.invalid").verifier("scoring")):
        monkeypatch.setattr(doorward, "verifier_of_the_test", other)
        assert not app.run().markdown
    monkeypatch.setattr(doorward, "verifier_of_the_test", verifier)
    # Another connection is verified by itself.
    headers[:] = [(NAME, "nonsense")]
    assert not app.run().markdown
    assert [shown.value for shown in app.error]
    headers.clear()
    assert [shown.value for shown in app.run().error] == ["the request did not come through the gateway"]
