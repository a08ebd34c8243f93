"""The lines of docs/guides/python-services.md: each service there identifies its caller, and refuses callers without the right claims."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.test import override_settings
from django.urls import path
from streamlit.runtime.context import ContextProxy, StreamlitHeaders
from streamlit.testing.v1 import AppTest

import doorward
from doorward.access import Refused
from doorward.testing import Issuer

from .callers import Header, connect, over_asgi, over_wsgi
from .conftest import IDP, NAME, assertion, served
from .guide import Page
from .test_gradio import call, data

PAGE = Page("python-services.md")
SERVICES = [block for block in PAGE.blocks if "def score(" in block]


@pytest.fixture
def names(issuer: Issuer, gateway: doorward.Gateway) -> dict[str, Any]:
    """Names that the lines use: the two verifiers of the first block."""
    return {"doorward": doorward, "direct": issuer.verifier("churn"), "behind": gateway.verifier("scoring")}


@pytest.fixture
def good(issuer: Issuer, signer: Issuer) -> dict[str, Header]:
    """Credentials that callers send, by the verifier they send them to."""
    token = issuer.mint("alice", audience="churn", roles=["scorer"], scope="explain")
    return {"direct": ("Authorization", f"Bearer {token}"), "behind": (NAME, assertion(signer))}


def test_the_verifiers_open_no_connection() -> None:
    names: dict[str, Any] = {}
    PAGE.run(PAGE.block("direct = "), names)
    assert (names["direct"].audience, names["behind"].audience) == (["churn"], ["scoring"])


def test_a_person_is_an_issuer_and_a_subject(names: dict[str, Any], issuer: Issuer, signer: Issuer) -> None:
    PAGE.run(PAGE.block("def owner("), names)
    owner, direct, behind = names["owner"], names["direct"], names["behind"]
    assert owner(direct.verify(issuer.mint(audience="churn", claims={"sub": "a1"}))) == (issuer.url, "a1")
    assert owner(behind.verify(assertion(signer, claims={"sub": "a1"}))) == (IDP, "a1")
    with pytest.raises(KeyError):
        owner(behind.verify(assertion(signer, without="idp")))


def title(block: str) -> str:
    return next(line for line in block.splitlines() if "doorward" in line)


@pytest.mark.parametrize("block", SERVICES, ids=title)
@pytest.mark.usefixtures("django_settings")
def test_a_service_reads_the_caller(block: str, names: dict[str, Any], good: dict[str, Header]) -> None:
    (kind,) = (kind for kind in ("direct", "behind") if kind in block)
    other = good["behind" if kind == "direct" else "direct"]
    PAGE.run(block, names)
    app = names.get("application") or names["app"]
    over = over_wsgi if "flask" in block or "wsgi" in block else over_asgi
    urls = SimpleNamespace(urlpatterns=[path("score", names["score"])] if "django" in block else [])
    # Django caches resolvers of URLs by the object that holds the patterns, so each block gets a new one.
    with override_settings(ROOT_URLCONF=type("Urls", (), vars(urls))):
        ask = over(app)
        answer = ask(good[kind], path="/score")
        assert (answer.status_code, answer.json()) == (200, {"hello": "alice"})
        for headers in ([], [other], [(good[kind][0], good[kind][1] + "x")]):
            assert ask(*headers, path="/score").status_code == 401
    if "/explain" in block:
        assert ask(good[kind], path="/explain").status_code == 200
    if "/health" in block:
        assert ask(path="/health").json() == "well"
    if "/chat" in block:
        assert [said["type"] for said in connect(app, good[kind])][:2] == ["websocket.accept", "websocket.send"]
        assert connect(app)[0]["status"] == 401


def test_every_way_to_write_a_service_is_shown() -> None:
    assert len(SERVICES) == 9


def test_a_preflight_and_a_refusal_have_the_headers_of_cors(names: dict[str, Any], good: dict[str, Header]) -> None:
    PAGE.run(PAGE.block("CORSMiddleware"), names)
    origin = ("Origin", "https://app.example")

    async def preflight() -> httpx.Response:
        asked = [origin, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "Authorization")]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://127.0.0.1") as client:
            return await client.options("/score", headers=asked)

    allowed = asyncio.run(preflight())
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example")
    ask = over_asgi(names["app"])
    refused = ask(origin, path="/score")
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    assert refused.headers["access-control-expose-headers"] == "WWW-Authenticate"
    assert ask(origin, good["direct"], path="/score").status_code == 200


def test_a_service_without_a_framework(names: dict[str, Any], good: dict[str, Header]) -> None:
    PAGE.run(PAGE.block("guard = Guard("), names)
    assert names["answer"]([good["direct"][1]]) == (200, {}, {"hello": "alice"})
    status, headers, problem = names["answer"]([])
    assert (status, headers["WWW-Authenticate"], problem["title"]) == (401, "Bearer", "no_credentials")


def test_requirements(names: dict[str, Any], issuer: Issuer) -> None:
    guards = PAGE.run(PAGE.block("from doorward.access import Guard, Require, all_of"), names)
    issuer.add_client("airflow-run", "secret")

    def passed(**claims: Any) -> list[bool]:
        def passes(guard: Any) -> bool:
            try:
                return bool(guard.check([f"Bearer {issuer.mint(audience='churn', **claims)}"]))
            except Refused as refused:
                assert refused.status == 403
                return False

        return [passes(guard) for guard in guards]

    assert passed() == [False] * 5
    assert passed(roles=["scorer"]) == [True, False, False, False, False]
    assert passed(roles=["ml-admin"]) == [True, False, False, False, True]
    assert passed(scope="score") == [False] * 5
    assert passed(scope="score explain") == [False, True, False, False, False]
    assert passed(roles=["scorer"], groups=["/finance"]) == [True, False, True, False, False]
    assert passed(client_roles={"churn": ["admin"]}) == [False, False, False, True, False]
    assert passed(client="airflow-run", scope="score") == [False, False, False, False, True]


def test_jobs_of_a_platform(names: dict[str, Any], issuer: Issuer) -> None:
    block = PAGE.block("jobs = doorward.Issuer(")
    PAGE.run("from doorward.access import Guard, Require\n" + block, names, {"https://gitlab.example": issuer.url})

    def passes(subject: str) -> bool:
        token = issuer.mint(audience="churn", without=["typ"], claims={"sub": subject})
        try:
            return bool(names["deploying"].check(f"Bearer {token}"))
        except Refused as refused:
            assert refused.status == 403
            return False

    assert passes("project_path:data/churn:ref_type:branch:ref:main")
    assert not passes("project_path:data/churn:ref_type:branch:ref:feature")


def test_a_page_of_streamlit(names: dict[str, Any], signer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = [(NAME, assertion(signer, claims={"roles": ["analyst"]}))]
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: StreamlitHeaders(headers)))
    monkeypatch.setattr(doorward, "behind", names["behind"], raising=False)
    app = AppTest.from_string("from doorward import behind\n" + PAGE.block("import streamlit"))
    assert [shown.value for shown in app.run().markdown] == ["Hello alice"]
    headers[:] = [(NAME, assertion(signer))]
    assert not app.run().markdown
    assert [shown.value for shown in app.error] == ["the role must be one of: analyst"]


@pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")
def test_an_app_of_gradio(names: dict[str, Any], signer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")

    async def build() -> None:
        PAGE.run(PAGE.block("import gradio"), names)

    asyncio.run(build())
    with served(names["app"]) as url:
        analyst = assertion(signer, claims={"roles": ["analyst"]})
        assert data(call(url + "/demand", (NAME, analyst), event="greet")) == ["Hello alice"]
        assert "event: error" in call(url + "/demand", (NAME, assertion(signer)), event="greet").text
        assert call(url + "/demand", event="greet").status_code == 401


def test_every_block_is_run() -> None:
    others = ["direct = ", "guard = Guard(", "from doorward.access import Guard, Require, all_of", "import streamlit", "import gradio"]
    others += ["def owner(", "jobs = doorward.Issuer("]
    assert {*SERVICES, *map(PAGE.block, others)} == set(PAGE.blocks)
