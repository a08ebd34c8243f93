"""The middlewares in real frameworks: what a view reads, and that none runs for a refused caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import django.core.asgi
import django.core.wsgi
import django.http
import django.urls
import flask
import litestar
import litestar.middleware
import pytest
from django.test import override_settings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import doorward
import doorward.asgi
import doorward.flask
import doorward.wsgi
from doorward.testing import Issuer

from .callers import Ask, Header, connect, over_asgi, over_wsgi
from .conftest import NAME, assertion

ran: list[str] = []
"""The views that ran."""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def shown(view: str, claims: doorward.Claims) -> dict[str, Any]:
    ran.append(view)
    return {"name": claims.username, "roles": sorted(claims.roles)}


# === the frameworks, each as its own documentation has middlewares ===


def a_starlette(auth: Any, **options: Any) -> Any:
    async def whoami(request: Request) -> JSONResponse:
        return JSONResponse(shown("whoami", request.state.claims))

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(shown("chat", socket.state.claims))
        await socket.close()

    return Starlette(
        routes=[Route("/", whoami), WebSocketRoute("/chat", chat)],
        middleware=[Middleware(auth, **options)],
    )


@litestar.get("/")
async def litestar_whoami(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
    return shown("whoami", request.state.claims)


@litestar.websocket("/chat")
async def litestar_chat(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_json(shown("chat", socket.state.claims))
    await socket.close()


def a_litestar(auth: Any, **options: Any) -> Any:
    return litestar.Litestar(
        [litestar_whoami, litestar_chat], middleware=[litestar.middleware.DefineMiddleware(auth, **options)]
    )


def around_litestar(auth: Any, **options: Any) -> Any:
    return auth(litestar.Litestar([litestar_whoami, litestar_chat]), **options)


def django_whoami(request: Any) -> django.http.JsonResponse:
    claims = request.scope["doorward"] if hasattr(request, "scope") else request.environ["doorward"]
    return django.http.JsonResponse(shown("whoami", claims))


async def django_whoami_async(request: Any) -> django.http.JsonResponse:
    return django.http.JsonResponse(shown("whoami_async", request.scope["doorward"]))


urlpatterns = [django.urls.path("", django_whoami), django.urls.path("async", django_whoami_async)]


@pytest.fixture(autouse=True)
def django_with_our_views(django_settings: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


def a_django(auth: Any, **options: Any) -> Any:
    return auth(django.core.asgi.get_asgi_application(), **options)


def a_django_of_wsgi(auth: Any, **options: Any) -> Any:
    return auth(django.core.wsgi.get_wsgi_application(), **options)


def a_flask(auth: Any, **options: Any) -> Any:
    app = flask.Flask("test")

    @app.get("/")
    def whoami() -> dict[str, Any]:
        return shown("whoami", doorward.flask.claims())

    app.wsgi_app = auth(app.wsgi_app, **options)  # type: ignore[method-assign]
    return app


ASGI = [a_starlette, a_litestar, around_litestar, a_django]
WSGI = [a_django_of_wsgi, a_flask]

Make = Callable[..., Any]


@pytest.fixture(params=[*ASGI, *WSGI], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes something to ask, of ``"bearer"`` or ``"gateway"`` and the arguments of the middleware."""
    build, of = request.param, doorward.asgi if request.param in ASGI else doorward.wsgi
    over: Callable[[Any], Ask] = over_asgi if request.param in ASGI else over_wsgi

    def made(kind: str, **options: Any) -> Ask:
        auth: Any = of.BearerAuth if kind == "bearer" else of.GatewayAuth
        return over(build(auth, **options))

    return made


def bearer(issuer: Issuer, **options: Any) -> Header:
    return ("Authorization", f"Bearer {issuer.mint('alice', **{'audience': 'churn', 'roles': ['scorer'], **options})}")


def test_a_view_reads_the_claims_of_a_token(make: Make, issuer: Issuer) -> None:
    answer = make("bearer", verifier=issuer.verifier("churn"), roles=["scorer"])(bearer(issuer))
    assert (answer.status_code, answer.json()) == (200, {"name": "alice", "roles": ["scorer"]})


def test_a_view_reads_the_claims_of_an_assertion(make: Make, gateway: doorward.Gateway, signer: Issuer) -> None:
    answer = make("gateway", verifier=gateway.verifier("scoring"))((NAME, assertion(signer)))
    assert (answer.status_code, answer.json()) == (200, {"name": "alice", "roles": ["scorer"]})


def test_no_view_runs_without_a_token(make: Make, issuer: Issuer) -> None:
    ask = make("bearer", verifier=issuer.verifier("churn"), realm="churn")
    answer = ask()
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="churn"')
    assert answer.headers["content-type"] == "application/problem+json"
    answer = ask(bearer(issuer, expired=True))
    assert (answer.status_code, answer.json()["title"]) == (401, "expired")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert ran == []


def test_no_view_runs_without_an_assertion_of_the_gateway(make: Make, gateway: doorward.Gateway, signer: Issuer) -> None:
    ask = make("gateway", verifier=gateway.verifier("scoring"))
    good = assertion(signer)
    for headers in (
        [],
        [("Authorization", f"Bearer {good}")],
        [(NAME, assertion(signer, audience="another-route"))],
        [(NAME, good), (NAME, good)],
        [("X-Forwarded-User", "alice")],
    ):
        assert ask(*headers).status_code == 401, headers
    assert ran == []


def test_no_view_runs_without_the_role(make: Make, issuer: Issuer) -> None:
    answer = make("bearer", verifier=issuer.verifier("churn"), roles=["ml-admin"])(bearer(issuer))
    assert (answer.status_code, answer.json()["detail"]) == (403, "the role must be one of: ml-admin")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert ran == []


def test_an_issuer_that_is_down_is_503_in_every_framework(make: Make, issuer: Issuer) -> None:
    token = bearer(issuer)
    with issuer.outage():
        answer = make("bearer", verifier=issuer.verifier("churn"))(token)
    assert (answer.status_code, ran) == (503, [])
    assert int(answer.headers["retry-after"]) >= 1


def test_an_async_view_of_django_reads_the_same_claims(issuer: Issuer) -> None:
    ask = over_asgi(a_django(doorward.asgi.BearerAuth, verifier=issuer.verifier("churn")))
    assert ask(bearer(issuer), path="/async").json() == {"name": "alice", "roles": ["scorer"]}
    assert ask(path="/async").status_code == 401
    assert ran == ["whoami_async"]


# === WebSockets ===


@pytest.mark.parametrize("build", [a_starlette, a_litestar, around_litestar], ids=lambda build: build.__name__)
def test_a_websocket_is_accepted_only_with_the_right_claims(build: Make, issuer: Issuer) -> None:
    app = build(doorward.asgi.BearerAuth, verifier=issuer.verifier("churn"), roles=["scorer"])
    accepted, message, *_ = connect(app, bearer(issuer))
    assert accepted["type"] == "websocket.accept"
    assert json.loads(message.get("text") or message["bytes"]) == {"name": "alice", "roles": ["scorer"]}
    for status, headers in ((401, []), (401, [bearer(issuer, wrong_key=True)]), (403, [bearer(issuer, roles=["reader"])])):
        start, _ = connect(app, *headers)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert ran == ["chat"]
