"""Tokens that a service refuses are replaced, whether or not the request that carried them can be sent again."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

import doorward
import doorward.aiohttp
import doorward.urllib3
from doorward.testing import Issuer

from .conftest import Api

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

Status = int


def chunks() -> Iterator[bytes]:
    yield b"on"
    yield b"ce"


async def chunks_async() -> AsyncIterator[bytes]:
    for chunk in chunks():
        yield chunk


class Pipe(io.RawIOBase):
    """A file that cannot be rewound."""

    def __init__(self) -> None:
        self._left = io.BytesIO(b"once")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)


class Custom(httpx.SyncByteStream):
    """A stream of the caller's own, with a member that httpx's have too."""

    def __init__(self) -> None:
        self._stream = io.BytesIO(b"once")

    def __iter__(self) -> Iterator[bytes]:
        yield self._stream.read()


def by_requests(tokens: doorward.TokenSource, url: str, **body: Any) -> Status:
    return requests.post(url, auth=tokens, timeout=10, **body).status_code


def by_httpx(tokens: doorward.TokenSource, url: str, library: Any = httpx, **body: Any) -> Status:
    with library.Client(auth=tokens) as client:
        if "stream" in body:
            request = client.build_request("POST", url, headers={"Transfer-Encoding": "chunked"})
            request.stream = body["stream"]
            return int(client.send(request).status_code)
        return int(client.post(url, **body).status_code)


def by_httpx2(tokens: doorward.TokenSource, url: str, **body: Any) -> Status:
    return by_httpx(tokens, url, httpx2, **body)


def by_httpx_async(tokens: doorward.TokenSource, url: str, library: Any = httpx, **body: Any) -> Status:
    async def main() -> Status:
        async with library.AsyncClient(auth=tokens) as client:
            return int((await client.post(url, **body)).status_code)

    return asyncio.run(main())


def by_httpx2_async(tokens: doorward.TokenSource, url: str, **body: Any) -> Status:
    return by_httpx_async(tokens, url, httpx2, **body)


def by_urllib3(tokens: doorward.TokenSource, url: str, **body: Any) -> Status:
    with doorward.urllib3.PoolManager(tokens) as pool:
        return pool.request("POST", url, **body).status


def by_aiohttp(tokens: doorward.TokenSource, url: str, **body: Any) -> Status:
    async def main() -> Status:
        async with aiohttp.ClientSession(middlewares=(doorward.aiohttp.Bearer(tokens, url),)) as session:
            async with session.post(url, **body) as answer:
                return answer.status

    return asyncio.run(main())


Send = Callable[..., Status]

# How a body is sent, and the bodies that cannot be sent again.
ONCE: list[tuple[Send, dict[str, Callable[[], Any]]]] = [
    (by_requests, {"data": chunks}),
    (by_requests, {"data": Pipe}),
    (by_httpx, {"content": chunks}),
    (by_httpx, {"content": Pipe}),
    (by_httpx, {"stream": Custom}),
    (by_httpx, {"files": lambda: {"file": Pipe()}}),
    (by_httpx_async, {"content": chunks_async}),
    (by_httpx_async, {"files": lambda: {"file": Pipe()}}),
    (by_httpx2, {"content": chunks}),
    (by_httpx2, {"content": Pipe}),
    (by_httpx2, {"files": lambda: {"file": Pipe()}}),
    (by_httpx2_async, {"content": chunks_async}),
    (by_urllib3, {"body": chunks}),
    (by_urllib3, {"body": Pipe}),
    (by_aiohttp, {"data": chunks_async}),
    (by_aiohttp, {"data": Pipe}),
    (by_aiohttp, {"data": lambda: {"file": Pipe()}}),
]

# Those that can.
AGAIN: list[tuple[Send, dict[str, Callable[[], Any]]]] = [
    (by_requests, {"data": lambda: skipped(b"skipped, sent")}),
    (by_requests, {"files": lambda: {"file": io.BytesIO(b"sent")}}),
    (by_httpx, {"content": lambda: io.BytesIO(b"sent")}),
    (by_httpx, {"content": lambda: [b"se", b"nt"]}),
    (by_httpx, {"files": lambda: {"file": io.BytesIO(b"sent")}, "data": lambda: {"name": "score"}}),
    (by_httpx, {"data": lambda: {"sent": "1"}}),
    (by_httpx_async, {"files": lambda: {"file": io.BytesIO(b"sent")}}),
    (by_httpx2, {"content": lambda: io.BytesIO(b"sent")}),
    (by_httpx2, {"files": lambda: {"file": io.BytesIO(b"sent")}}),
    (by_httpx2_async, {"files": lambda: {"file": io.BytesIO(b"sent")}}),
    (by_urllib3, {"body": lambda: skipped(b"skipped, sent")}),
    (by_urllib3, {"body": lambda: [b"se", b"nt"]}),
    (by_urllib3, {"fields": lambda: {"file": ("name", b"sent")}}),
    (by_aiohttp, {"data": lambda: skipped(b"skipped, sent")}),
    (by_aiohttp, {"data": lambda: {"sent": "1"}}),
    (by_aiohttp, {"json": lambda: {"sent": "1"}}),
]


def skipped(content: bytes) -> io.BytesIO:
    """A file that was read in part before."""
    file = io.BytesIO(content)
    file.seek(9)
    return file


def name(case: Any) -> str:
    if callable(case):
        return str(case.__name__).removeprefix("by_")
    return "-".join(f"{argument}-{getattr(body, '__name__', '')}".strip("-<>") for argument, body in case.items())


def made(body: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    return {argument: make() for argument, make in body.items()}


@pytest.fixture
def shared(issuer: Issuer, tmp_path: Path) -> Callable[[], doorward.TokenSource]:
    """Sources as processes make them that share their tokens in a folder."""
    folder = tmp_path / "tokens"
    return lambda: doorward.Issuer(issuer.url).client_credentials("client", secret="secret", cache_dir=str(folder))


@pytest.mark.parametrize(("send", "body"), ONCE, ids=name)
def test_a_body_sent_once_still_reports_the_refused_token(
    send: Send, body: dict[str, Callable[[], Any]], api: Api, issuer: Issuer, shared: Callable[[], doorward.TokenSource]
) -> None:
    tokens = shared()
    revoked = tokens.token()
    api.accepts = lambda token: token != revoked
    assert send(tokens, api.url, **made(body)) == 401
    assert len(api.seen) == 1
    assert tokens.token() != revoked
    assert send(tokens, api.url, **made(body)) == 200
    # A task that starts now has the fresh token too.
    assert send(shared(), api.url, **made(body)) == 200
    assert api.tokens == [revoked, tokens.token(), tokens.token()]
    assert issuer.requests("token") == 2


@pytest.mark.parametrize(("send", "body"), AGAIN, ids=name)
def test_a_body_that_can_be_rewound_is_sent_again_whole(
    send: Send, body: dict[str, Callable[[], Any]], api: Api, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    revoked = tokens.token()
    api.accepts = lambda token: token != revoked
    assert send(tokens, api.url, **made(body)) == 200
    first, second = (request.body for request in api.seen)
    assert first == second
    assert b"sent" in first and b"skipped" not in first
    assert api.tokens == [revoked, tokens.token()]
    assert issuer.requests("token") == 2


class Closing(io.BytesIO):
    """A file that its owner closes once it was read."""

    is_answered = False

    def seek(self, *position: int) -> int:
        if self.is_answered:
            raise ValueError("I/O operation on closed file.")
        return super().seek(*position)


@pytest.mark.parametrize("send", [by_requests, by_httpx, by_httpx2, by_urllib3])
def test_a_file_closed_meanwhile_is_not_sent_again(send: Send, api: Api, tokens: doorward.TokenSource) -> None:
    file = Closing(b"sent")
    revoked = tokens.token()

    def accepts(token: str) -> bool:
        file.is_answered = True
        return token != revoked

    api.accepts = accepts
    assert send(tokens, api.url, **{{by_requests: "data", by_urllib3: "body"}.get(send, "content"): file}) == 401
    assert len(api.seen) == 1
    assert tokens.token() != revoked


def test_processes_drop_a_token_that_one_of_them_saw_refused(
    api: Api, issuer: Issuer, shared: Callable[[], doorward.TokenSource]
) -> None:
    first, second = shared(), shared()
    revoked = first.token()
    assert second.token() == revoked
    api.accepts = lambda token: token != revoked
    for tokens in (first, second):
        assert by_requests(tokens, api.url, data=chunks()) == 401
        assert by_requests(tokens, api.url, data=chunks()) == 200
    assert issuer.requests("token") == 2


def test_a_service_that_refuses_all_uploads_costs_one_request(api: Api, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    api.accepts = lambda token: False
    for _ in range(10):
        assert by_httpx(tokens, api.url, content=chunks()) == 401
    assert issuer.requests("token") == 2
    assert len(api.seen) == 10


def test_a_report_does_not_wait_for_the_issuer(issuer: Issuer, tokens: doorward.TokenSource) -> None:
    revoked = tokens.token()
    issuer.fail("token", delay=30)
    tokens.reject(revoked)
    assert tokens.token() == revoked
    with pytest.raises(ValueError):
        tokens.reject("not a\ntoken")


def test_urllib3_reports_a_token_refused_after_a_redirect(api: Api, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    revoked = tokens.token()
    api.accepts = lambda token: token != revoked
    with doorward.urllib3.PoolManager(tokens) as pool:
        assert pool.request("POST", f"{api.url}/to?/there", body=b"sent").status == 401
        # What was redirected is not sent from the start again.
        assert [request.path for request in api.seen] == ["/to?/there", "/there"]
        assert pool.request("POST", f"{api.url}/to?/there", body=b"sent").status == 200
    assert issuer.requests("token") == 2


def test_another_origins_refusal_is_not_reported(
    make_api: Callable[[], Api], issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    ours, other = make_api(), make_api()
    other.accepts = lambda token: False
    for send in (by_requests, by_urllib3):
        body = {"data" if send is by_requests else "body": b"sent"}
        assert send(tokens, f"{ours.url}/to?{other.url}/", **body) == 401
    assert issuer.requests("token") == 1


def test_aiohttp_does_not_rewind_a_file_it_is_still_sending(issuer: Issuer, tokens: doorward.TokenSource, tmp_path: Path) -> None:
    """A service that answers before it has read the request: the file has one position, and two requests would share it."""
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(64 << 20))
    revoked = tokens.token()
    heads: list[bytes] = []
    leave = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            heads.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            leave.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener, upload.open("rb") as file:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        assert by_aiohttp(tokens, f"http://127.0.0.1:{listener.getsockname()[1]}", data=file) == 401
        leave.set()
        server.join()
    assert revoked.encode() in heads[0]
    assert tokens.token() != revoked
