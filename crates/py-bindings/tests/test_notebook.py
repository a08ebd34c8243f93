"""Tokens in a notebook: asked for once, fresh whenever they are used, and every failure says what to do."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import doorward
import doorward.notebook
from doorward.notebook import SignInNeeded, token, token_async

SECRET = "the-servers-own-token"


@dataclass
class TokenApi:
    """The hub's ``api/doorward/token``, as ``doorward.jupyterhub.handlers`` answers there."""

    life: float = 300.0
    status: int = 200
    answer: Any = None
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    wait: threading.Event | None = None

    def reply(self) -> tuple[int, bytes]:
        if self.wait is not None:
            self.wait.wait(10)
        if self.answer is not None:
            return self.status, self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        given = {"access_token": f"token-{len(self.asked)}", "token_type": "Bearer", "expires_in": self.life}
        return self.status, json.dumps(given).encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenApi]:
    api = TokenApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            api.asked.append((self.path, self.headers["authorization"], body))
            status, answer = api.reply()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{server.server_port}/jupyter/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", SECRET)
    # The environment's proxy is not used for the hub.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setattr(doorward.notebook, "_kept", {})
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock that ``doorward.notebook`` reads."""
    import time

    ahead = [0.0]
    real = time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: real() + ahead[0])

    monkeypatch.setattr(doorward.notebook, "time", Clock)

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move


def test_a_token_is_requested_once_and_replaced_before_expiry(hub: TokenApi, later: Callable[[float], None]) -> None:
    assert token() == token() == "token-1"
    assert hub.asked == [("/jupyter/hub/api/doorward/token", f"token {SECRET}", {"audience": None})]
    later(280)
    assert token() == "token-1"
    later(10)
    assert token() == "token-2"
    hub.life = 4
    later(300)
    assert (token(), token()) == ("token-3", "token-3"), "one of four seconds is good for three"
    later(3.5)
    assert token() == "token-4"


def test_each_audience_has_its_own(hub: TokenApi) -> None:
    assert (token("churn"), token("warehouse"), token("churn")) == ("token-1", "token-2", "token-1")
    assert [body["audience"] for _, _, body in hub.asked] == ["churn", "warehouse"]


def test_a_token_that_was_rejected_is_replaced(hub: TokenApi) -> None:
    first = token()
    assert token(rejected="another") == first
    assert token(rejected=first) == "token-2"


def test_concurrent_callers_make_one_request(hub: TokenApi) -> None:
    hub.wait = threading.Event()

    async def tasks() -> list[str]:
        asking = asyncio.gather(*(token_async() for _ in range(50)))
        # The event loop goes on while the hub delays its answer.
        for _ in range(5):
            await asyncio.sleep(0)
        assert hub.wait is not None
        hub.wait.set()
        return list(await asking)

    with ThreadPoolExecutor(10) as pool:
        threads = [pool.submit(token) for _ in range(10)]
        given = asyncio.run(tasks()) + [each.result() for each in threads]
    assert set(given) == {"token-1"}
    assert len(hub.asked) == 1


def _in_the_child(answers: Any) -> None:
    answers.put((token(), doorward.notebook._of_kept.locked()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_hang(hub: TokenApi) -> None:
    assert token() == "token-1"
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    with doorward.notebook._of_kept, doorward.notebook._kept[None].lock:
        child = fork.Process(target=_in_the_child, args=(answers,))
        child.start()
        assert answers.get(timeout=10) == ("token-1", False)
        child.join(10)


def test_every_failure_has_its_error(hub: TokenApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(status: int, answer: Any) -> doorward.DoorwardError:
        hub.status, hub.answer = status, answer
        with pytest.raises(doorward.DoorwardError) as raised:
            token()
        assert SECRET not in str(raised.value)
        return raised.value

    needed = refused(403, {"status": 403, "code": "sign_in_needed", "message": "your session has ended", "remedy": "open the hub"})
    assert isinstance(needed, SignInNeeded) and (needed.message, needed.remedy) == ("your session has ended", "open the hub")
    not_allowed = refused(403, {"status": 403, "code": "configuration", "message": "not for payroll", "remedy": None})
    assert isinstance(not_allowed, doorward.TokenRequestRefused) and not_allowed.status == 403
    assert isinstance(refused(404, {"status": 404, "message": "Not Found"}), doorward.ConfigurationError)
    assert isinstance(refused(503, {"status": 503, "code": "issuer_unavailable", "message": "later"}), doorward.IssuerUnavailable)
    mistaken = refused(500, {"status": 500, "code": "issuer_misconfigured", "message": "no realm", "remedy": "name it"})
    assert isinstance(mistaken, doorward.IssuerMisconfigured) and mistaken.remedy == "name it"
    assert isinstance(refused(502, b"<html>"), doorward.IssuerUnavailable)
    assert isinstance(refused(200, {"nothing": "useful"}), doorward.TokenRequestRefused)
    assert isinstance(refused(302, b"{}"), doorward.TokenRequestRefused), "and the server's token goes nowhere else"
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:1/hub/api")
    assert isinstance(refused(200, None), doorward.IssuerUnavailable)
    monkeypatch.setenv("JUPYTERHUB_API_URL", "hub:8081")
    assert isinstance(refused(200, None), doorward.ConfigurationError)
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN")
    assert "not a server of a JupyterHub" in str(refused(200, None))
