"""Services that take tokens: FastAPI, Flask, any ASGI or WSGI application."""


import asyncio
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from wsgiref.util import setup_testing_defaults

import flask
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket

import doorward
import doorward.asgi
import doorward.fastapi
import doorward.flask
import doorward.wsgi
from doorward.access import Guard, Refused, Require, all_of
from doorward.testing import Issuer

from .callers import connect


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


Ask = Callable[..., Answer]


def asgi(app: Any) -> Ask:
    async def ask(headers: list[tuple[str, str]], path: str) -> Answer:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        await app({"type": "http", "method": "GET", "path": path, "headers": raw, "query_string": b"", "root_path": ""}, receive, send)
        shown = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], shown, json.loads(sent[1]["body"]))

    return lambda *headers, path="/": asyncio.run(ask(list(headers), path))


def wsgi(app: Any) -> Ask:
    def ask(*headers: tuple[str, str], path: str = "/") -> Answer:
        environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
        setup_testing_defaults(environ)
        for name, value in headers:
            key = "HTTP_" + name.upper().replace("-", "_")
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        started: list[Any] = []
        body = b"".join(app(environ, lambda status, headers, error=None: started.append((status, headers))))
        status, shown = started[0]
        return Answer(int(status.split()[0]), {name.lower(): value for name, value in shown}, json.loads(body))

    return ask


def a_fastapi(verifier: doorward.Verifier, **required: Any) -> Ask:
    app = FastAPI()
    caller = doorward.fastapi.Bearer(verifier, **required)

    @app.get("/", responses=caller.responses)
    async def whoami(claims: Annotated[doorward.Claims, Depends(caller)]) -> dict[str, str]:
        return {"sub": claims.subject}

    return asgi(app)


def an_asgi(verifier: doorward.Verifier, **required: Any) -> Ask:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["state"]["claims"] is scope["doorward"]
        body = json.dumps({"sub": scope["doorward"].subject}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return asgi(doorward.asgi.BearerAuth(app, verifier, **required))


def a_flask(verifier: doorward.Verifier, **required: Any) -> Ask:
    app = flask.Flask("test")

    @app.get("/")
    @doorward.flask.Bearer(verifier, **required)
    def whoami() -> dict[str, str]:
        return {"sub": doorward.flask.claims().subject}

    return wsgi(app)


def a_wsgi(verifier: doorward.Verifier, **required: Any) -> Ask:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps({"sub": environ["doorward"].subject}).encode()]

    return wsgi(doorward.wsgi.BearerAuth(app, verifier, **required))


Make = Callable[..., Ask]


@pytest.fixture(params=[a_fastapi, an_asgi, a_flask, a_wsgi], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest, issuer: Issuer) -> Make:
    verifier = issuer.verifier("churn")
    return lambda **required: request.param(verifier, **required)


def bearer(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    return ("Authorization", f"{scheme} {token}")


def test_a_good_token_passes(make: Make, issuer: Issuer) -> None:
    issuer.add_user("alice", subject="alice-1")
    token = issuer.mint("alice", audience="churn")
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = make()(bearer(token, scheme))
        assert (answer.status, answer.body) == (200, {"sub": "alice-1"})


def test_an_anonymous_request_gets_a_challenge(make: Make) -> None:
    answer = make(realm="churn", scopes=all_of("score", "explain"))()
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="churn", scope="score explain"'
    assert answer.headers["cache-control"] == "no-store"
    assert make()(("Authorization", "Basic YTpi")).headers["www-authenticate"] == "Bearer"


def test_a_bad_token_is_named(make: Make, issuer: Issuer) -> None:
    answer = make()(bearer(issuer.mint(audience="elsewhere")))
    assert answer.status == 401
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="invalid_token", error_description="the token is for ')
    assert "'elsewhere'" in challenge
    assert "scope=" not in challenge


def test_an_empty_token_and_two_headers_are_a_bad_request(make: Make, issuer: Issuer) -> None:
    assert make()(("Authorization", "Bearer ")).status in (400, 401)
    good = bearer(issuer.mint(audience="churn"))
    answer = make()(good, good)
    # A server that joins the two makes one invalid token of them.
    assert answer.status in (400, 401)
    assert 'error="invalid_' in answer.headers["www-authenticate"]


def test_a_good_token_without_the_right_claims_is_forbidden(make: Make, issuer: Issuer) -> None:
    ask = make(roles=["scorer", "ml-admin"], scopes="score")
    both = issuer.mint(audience="churn", roles=["ml-admin"], scope="score")
    assert ask(bearer(both)).status == 200
    answer = ask(bearer(issuer.mint(audience="churn", roles=["reader"], scope="score")))
    assert answer.status == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", error_description="the role must be one of: scorer, ml-admin", scope="score"'
    )
    assert ask(bearer(issuer.mint(audience="churn", roles=["scorer"], scope="openid"))).status == 403


def test_an_issuer_that_is_down_is_503(make: Make, issuer: Issuer) -> None:
    token = issuer.mint(audience="churn")
    with issuer.outage():
        answer = make()(bearer(token))
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers


# === requirements ===


def lacks(issuer: Issuer, requirement: Require, **claims: Any) -> str | None:
    return requirement.missing(issuer.verifier("churn").verify(issuer.mint(audience="churn", **claims)))


def test_any_value_of_a_key_and_every_key_must_match(issuer: Issuer) -> None:
    assert lacks(issuer, Require()) is None
    assert lacks(issuer, Require(roles=["a", "b"]), roles=["b"]) is None
    assert lacks(issuer, Require(roles="a"), roles=["ab"]) == "the role must be one of: a"
    assert lacks(issuer, Require(roles=all_of("a", "b")), roles=["b"]) == "the role must be all of: a, b"
    assert lacks(issuer, Require(roles=all_of("a", "b")), roles=["b", "c", "a"]) is None
    assert lacks(issuer, Require(groups=["/x"], roles=["a"]), roles=["a"]) == "the group must be one of: /x"
    assert lacks(issuer, Require(clients=["client"])) is None
    assert lacks(issuer, Require(clients=["other"])) == "the client must be one of: other"


def test_realm_roles_and_client_roles_are_distinct(issuer: Issuer) -> None:
    at_churn = Require(client_roles={"churn": ["admin"]})
    assert lacks(issuer, at_churn, client_roles={"churn": ["admin"]}) is None
    assert lacks(issuer, at_churn, roles=["admin"]) == "the role at churn must be one of: admin"
    assert lacks(issuer, Require(roles=["admin"]), client_roles={"churn": ["admin"]}) is not None


def test_an_empty_list_admits_no_caller(issuer: Issuer) -> None:
    assert lacks(issuer, Require(roles=[]), roles=["a"]) == "the role must be one of: none (the list is empty)"


def test_one_header_value_is_not_read_as_its_characters(issuer: Issuer) -> None:
    guard = Guard(issuer.verifier("churn"))
    assert guard.check(f"Bearer {issuer.mint('alice', audience='churn')}").username == "alice"
    nothings: list[Any] = [None, "", []]
    for nothing in nothings:
        with pytest.raises(Refused) as caught:
            guard.check(nothing)
        assert (caught.value.status, caught.value.code) == (401, "no_credentials")


@pytest.mark.parametrize(
    "wrong", [{"roles": [None]}, {"roles": b"scorer"}, {"any": [{"roles": "scorer"}]}, {"any": "scorer"}, {"client_roles": {"churn": [1]}}]
)
def test_an_invalid_requirement_raises_when_written(issuer: Issuer, wrong: Any) -> None:
    with pytest.raises(TypeError):
        Guard(issuer.verifier("churn"), **wrong)
    with pytest.raises(TypeError, match="one after the other"):
        all_of(["score", "explain"])  # type: ignore[arg-type]


def test_one_of_several_requirements_is_enough(issuer: Issuer) -> None:
    guard = Guard(issuer.verifier("churn"), any=[Require(clients=["airflow"], scopes=["score"]), Require(roles=["ml-admin"])])
    assert guard.check([f"Bearer {issuer.mint(audience='churn', roles=['ml-admin'])}"])
    with pytest.raises(Refused) as caught:
        guard.check([f"Bearer {issuer.mint(audience='churn')}"])
    assert caught.value.status == 403
    assert caught.value.detail == "the scope must be one of: score; or the role must be one of: ml-admin"


# === FastAPI ===


@pytest.fixture
def service(issuer: Issuer) -> Ask:
    app = FastAPI()
    caller = doorward.fastapi.Bearer(issuer.verifier("churn"), roles=["scorer"], realm="churn")

    @app.get("/score", responses=caller.responses)
    async def score(claims: Annotated[doorward.Claims, Security(caller, scopes=["score", "explain"])]) -> dict[str, str]:
        return {"hello": claims.subject}

    return asgi(app)


def test_fastapi_shows_a_security_scheme(service: Ask, issuer: Issuer) -> None:
    document = service(path="/openapi.json").body
    scheme = document["components"]["securitySchemes"]["Bearer"]
    assert scheme == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": f"An access token of {issuer.url} for churn.",
    }
    operation = document["paths"]["/score"]["get"]
    assert [list(required) for required in operation["security"]] == [["Bearer"]]
    assert {"200", "400", "401", "403", "503"} <= set(operation["responses"])


def test_fastapi_asks_for_all_scopes_of_security(service: Ask, issuer: Issuer) -> None:
    def ask(**claims: Any) -> Answer:
        return service(bearer(issuer.mint(audience="churn", **claims)), path="/score")

    assert ask(roles=["scorer"], scope="score explain").status == 200
    assert ask(roles=["reader"], scope="score explain").status == 403
    lacking = ask(roles=["scorer"], scope="score")
    assert lacking.status == 403
    assert 'scope="score explain"' in lacking.headers["www-authenticate"]
    assert lacking.body == {"detail": "the scope must be all of: score, explain"}


def test_fastapi_authenticates_a_websocket(issuer: Issuer) -> None:
    app = FastAPI()
    caller = doorward.fastapi.Bearer(issuer.verifier("churn"), roles=["scorer"])

    @app.websocket("/chat")
    async def chat(socket: WebSocket, claims: Annotated[doorward.Claims, Depends(caller)]) -> None:
        await socket.accept()
        await socket.send_json({"hello": claims.username})
        await socket.close()

    accepted, hello, _ = connect(app, bearer(issuer.mint("alice", audience="churn", roles=["scorer"])))
    assert (accepted["type"], json.loads(hello["text"])) == ("websocket.accept", {"hello": "alice"})
    for status, headers in ((401, []), (403, [bearer(issuer.mint(audience="churn"))])):
        start, _ = connect(app, *headers)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)


def test_a_websocket_is_refused_before_it_is_accepted(issuer: Issuer) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("reached")

    guarded = doorward.asgi.BearerAuth(app, issuer.verifier("churn"))

    async def connect(extensions: dict[str, Any]) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await guarded({"type": "websocket", "path": "/", "headers": [], "extensions": extensions}, receive, send)
        return sent

    (closed,) = asyncio.run(connect({}))
    assert closed["type"] == "websocket.close"
    start, _ = asyncio.run(connect({"websocket.http.response": {}}))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)


def test_public_paths_and_optional_callers(issuer: Issuer) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        known = scope.get("doorward")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(known and known.subject).encode()})

    strict = asgi(doorward.asgi.BearerAuth(app, issuer.verifier("churn"), public=["/health"]))
    assert strict(path="/health").status == 200
    for path in ("/health/", "/healthy", "//health", "/"):
        assert strict(path=path).status == 401
    relaxed = asgi(doorward.asgi.BearerAuth(app, issuer.verifier("churn"), optional=True))
    assert (relaxed().status, relaxed().body) == (200, None)
    assert relaxed(bearer("nonsense")).status == 401


def test_one_public_path_is_not_read_as_its_characters(issuer: Issuer, gateway: doorward.Gateway) -> None:
    def welcome(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"null"]

    async def welcome_async(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"null"})

    direct, behind = issuer.verifier("churn"), gateway.verifier("scoring")
    for ask in (
        wsgi(doorward.wsgi.BearerAuth(welcome, direct, public="/health")),
        wsgi(doorward.wsgi.GatewayAuth(welcome, behind, public="/health")),
        asgi(doorward.asgi.BearerAuth(welcome_async, direct, public="/health")),
        asgi(doorward.asgi.GatewayAuth(welcome_async, behind, public="/health")),
    ):
        assert (ask(path="/health").status, ask(path="/").status) == (200, 401)


def test_flask_guards_views_that_are_async(issuer: Issuer) -> None:
    app = flask.Flask("test")

    @app.get("/")
    @doorward.flask.Bearer(issuer.verifier("churn"))
    async def whoami() -> dict[str, str | None]:
        return {"hello": doorward.flask.claims().username}

    ask = wsgi(app)
    assert ask(bearer(issuer.mint("alice", audience="churn"))).body == {"hello": "alice"}
    assert ask().status == 401


def test_flask_names_the_missing_guard(issuer: Issuer) -> None:
    app = flask.Flask("test")
    with app.test_request_context(), pytest.raises(LookupError, match="decorate the view"):
        doorward.flask.claims()
