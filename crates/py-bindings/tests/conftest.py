"""Fixtures of several suites: an API that records requests and requires tokens."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import pytest

import doorward
import doorward.testing

pytest_plugins = ["pytester"]

# Airflow has an environment of its own; see the recipe `airflow`.
collect_ignore = [] if find_spec("airflow") else ["airflow"]


@dataclass
class Seen:
    """A request as it arrived."""

    path: str
    authorization: str | None
    body: bytes


@dataclass
class Api:
    """An HTTP server. ``accepts`` says which tokens are good; ``/to?…`` redirects to the URL after the question mark."""

    url: str
    accepts: Callable[[str], bool] = lambda token: True
    seen: list[Seen] = field(default_factory=list)

    @property
    def tokens(self) -> list[str]:
        return [request.authorization.removeprefix("Bearer ") for request in self.seen if request.authorization]


def _serve(api_of: list[Api]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            api = api_of[0]
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("transfer-encoding") == "chunked":
                body = self.chunks()
            authorization = self.headers.get("authorization")
            api.seen.append(Seen(self.path, authorization, body))
            if self.path.startswith("/to?"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to?"))
                content = b""
            elif authorization and api.accepts(authorization.removeprefix("Bearer ")):
                self.send_response(200)
                content = b"welcome"
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
                content = b"who are you?"
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    return Server(("127.0.0.1", 0), Handler)


@pytest.fixture
def make_api() -> Iterator[Callable[[], Api]]:
    servers: list[ThreadingHTTPServer] = []

    def make() -> Api:
        api_of: list[Api] = []
        server = _serve(api_of)
        servers.append(server)
        api_of.append(Api(f"http://127.0.0.1:{server.server_port}"))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return api_of[0]

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def api(make_api: Callable[[], Api]) -> Api:
    return make_api()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An ASGI application behind a real server: where it listens."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for what happens in the background."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


NAME = "X-Doorward-Assertion"
# The issuer that signed the person in, unless a test says otherwise.
IDP = "https://id.example/realms/platform"


@pytest.fixture
def signer() -> Iterator[doorward.testing.Issuer]:
    """Signs as the gateway does: ES256, with keys at a URL of its own."""
    with doorward.testing.Issuer(algorithm="ES256") as signer:
        yield signer


@pytest.fixture
def gateway(signer: doorward.testing.Issuer) -> doorward.Gateway:
    return doorward.Gateway(signer.url + "/", keys_url=signer.url + "/protocol/openid-connect/certs")


def assertion(signer: doorward.testing.Issuer, **options: Any) -> str:
    """As ``crates/proxy/src/forward/assertion.rs`` writes them; ``without="idp"``: as a gateway of an older version does."""
    claims = {
        "idp": IDP,
        "roles": ["scorer"],
        "client_roles": {"churn": ["admin"]},
        "groups": ["/finance"],
        "client": "airflow-run",
        "preferred_username": "alice",
        **options.pop("claims", {}),
    }
    left_out = options.pop("without", [])
    without = [*([left_out] if isinstance(left_out, str) else left_out), "typ", "azp", "auth_time", "sid", "acr", "at_hash", "given_name", "family_name", "nonce"]
    return signer.mint("alice", kind="id", **{"audience": "scoring", "expires_in": 60, "without": without, **options, "claims": claims})


@pytest.fixture(scope="session")
def django_settings() -> None:
    """Django has one configuration for a process."""
    import django
    from django.conf import settings

    settings.configure(SECRET_KEY="of the test", ALLOWED_HOSTS=["127.0.0.1"], LOGGING_CONFIG=None)
    django.setup()


@pytest.fixture
def tokens(issuer: doorward.testing.Issuer) -> doorward.TokenSource:
    return doorward.Issuer(issuer.url).client_credentials("client", secret="secret")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
