"""Tokens on the requests of HTTP clients: one token request, one repetition after 401, no token to another origin."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
import fsspec
import grpc
import httpx
import httpx2
import pytest
import requests
import urllib3
from yarl import URL

import doorward
import doorward.aiohttp
import doorward.fsspec
import doorward.grpc
import doorward.httpx
import doorward.httpx2
import doorward.urllib3
from doorward.testing import Issuer

from .conftest import Api

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@dataclass
class Answer:
    status: int
    text: str


Send = Callable[..., Answer]


def with_requests(tokens: doorward.TokenSource) -> Send:
    def send(method: str, url: str, data: Any = None) -> Answer:
        answer = requests.request(method, url, data=data, auth=tokens, timeout=10)
        return Answer(answer.status_code, answer.text)

    return send


def with_a_session_of_requests(tokens: doorward.TokenSource) -> Send:
    session = requests.Session()
    session.auth = tokens

    def send(method: str, url: str, data: Any = None) -> Answer:
        answer = session.request(method, url, data=data, timeout=10)
        return Answer(answer.status_code, answer.text)

    return send


def with_httpx(tokens: doorward.TokenSource) -> Send:
    def send(method: str, url: str, data: Any = None) -> Answer:
        with httpx.Client(auth=tokens, follow_redirects=True) as client:
            answer = client.request(method, url, content=data)
            return Answer(answer.status_code, answer.text)

    return send


def with_httpx_async(tokens: doorward.TokenSource, auth: Any = None) -> Send:
    async def send_async(method: str, url: str, data: Any = None) -> Answer:
        async with httpx.AsyncClient(auth=auth or tokens, follow_redirects=True) as client:
            answer = await client.request(method, url, content=data)
            return Answer(answer.status_code, answer.text)

    return lambda *arguments: asyncio.run(send_async(*arguments))


def with_an_explicit_auth(tokens: doorward.TokenSource) -> Send:
    return with_httpx_async(tokens, doorward.httpx.Auth(tokens))


def with_httpx2(tokens: doorward.TokenSource) -> Send:
    def send(method: str, url: str, data: Any = None) -> Answer:
        with httpx2.Client(auth=tokens, follow_redirects=True) as client:
            answer = client.request(method, url, content=data)
            return Answer(answer.status_code, answer.text)

    return send


def with_httpx2_async(tokens: doorward.TokenSource) -> Send:
    async def send_async(method: str, url: str, data: Any = None) -> Answer:
        async with httpx2.AsyncClient(auth=doorward.httpx2.Auth(tokens), follow_redirects=True) as client:
            answer = await client.request(method, url, content=data)
            return Answer(answer.status_code, answer.text)

    return lambda *arguments: asyncio.run(send_async(*arguments))


def with_urllib3(tokens: doorward.TokenSource) -> Send:
    pool = doorward.urllib3.PoolManager(tokens)

    def send(method: str, url: str, data: Any = None) -> Answer:
        answer = pool.request(method, url, body=data)
        return Answer(answer.status, answer.data.decode())

    return send


def with_aiohttp(tokens: doorward.TokenSource) -> Send:
    async def send_async(method: str, url: str, data: Any = None) -> Answer:
        bearer = doorward.aiohttp.Bearer(tokens, url)
        async with aiohttp.ClientSession(middlewares=(bearer,)) as session:
            async with session.request(method, url, data=data) as answer:
                return Answer(answer.status, await answer.text())

    return lambda *arguments: asyncio.run(send_async(*arguments))


CLIENTS = [
    with_requests,
    with_a_session_of_requests,
    with_httpx,
    with_httpx_async,
    with_an_explicit_auth,
    with_httpx2,
    with_httpx2_async,
    with_urllib3,
    with_aiohttp,
]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__.removeprefix("with_"))
def send(request: pytest.FixtureRequest, tokens: doorward.TokenSource) -> Send:
    made: Send = request.param(tokens)
    return made


def test_requests_carry_the_token(send: Send, api: Api, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    for _ in range(3):
        assert send("GET", api.url + "/score") == Answer(200, "welcome")
    assert api.tokens == [tokens.token()] * 3
    assert issuer.requests("token") == 1


def test_after_401_a_request_is_repeated_once_with_a_fresh_token(
    send: Send, api: Api, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    rejected = tokens.token()
    api.accepts = lambda token: token != rejected
    assert send("POST", api.url + "/score", b"the same body") == Answer(200, "welcome")
    assert [request.body for request in api.seen] == [b"the same body"] * 2
    assert api.tokens == [rejected, tokens.token()]
    assert issuer.requests("token") == 2


def test_a_service_that_refuses_every_token_is_not_retried(send: Send, api: Api, issuer: Issuer) -> None:
    api.accepts = lambda token: False
    for _ in range(5):
        assert send("GET", api.url + "/score").status == 401
    assert issuer.requests("token") == 2
    assert len(api.seen) == 6


def test_the_token_goes_to_no_other_origin(send: Send, make_api: Callable[[], Api], issuer: Issuer) -> None:
    ours, other = make_api(), make_api()
    other.accepts = lambda token: False
    assert send("GET", f"{ours.url}/to?{other.url}/steal").status == 401
    assert [request.authorization for request in other.seen] == [None]
    assert len(ours.seen) == 1
    assert issuer.requests("token") == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_httpx_sends_the_token_from_http_to_https_of_a_host(library: Any, tokens: doorward.TokenSource) -> None:
    seen: list[tuple[str, bool]] = []

    def answer(request: Any) -> Any:
        seen.append((str(request.url), "authorization" in request.headers))
        return library.Response(302, headers={"location": to[len(seen) - 1]}) if len(seen) <= len(to) else library.Response(200)

    to = ["https://churn.example/", "https://other.example/"]
    with library.Client(auth=tokens, transport=library.MockTransport(answer), follow_redirects=True) as client:
        client.get("http://churn.example/")
    assert seen == [("http://churn.example/", True), ("https://churn.example/", True), ("https://other.example/", False)]


def test_the_token_follows_redirects_of_its_own_origin(send: Send, api: Api, tokens: doorward.TokenSource) -> None:
    assert send("GET", f"{api.url}/to?{api.url}/there") == Answer(200, "welcome")
    assert api.tokens == [tokens.token()] * 2


def test_a_failed_token_request_raises_an_error_of_doorward(send: Send, api: Api, issuer: Issuer) -> None:
    issuer.fail("token", status=503)
    with pytest.raises(doorward.IssuerUnavailable):
        send("GET", api.url)
    assert api.seen == []


def test_without_another_token_the_services_answer_is_returned(
    send: Send, api: Api, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    tokens.token()
    api.accepts = lambda token: False
    for trouble in ({"status": 503}, {"answer": "garbage"}):
        issuer.fail("token", **trouble)
        assert send("GET", api.url) == Answer(401, "who are you?")
    assert len(api.seen) == 2


def test_a_consumed_body_is_not_sent_again(api: Api, tokens: doorward.TokenSource) -> None:
    rejected = tokens.token()
    api.accepts = lambda token: token != rejected

    def body() -> Iterator[bytes]:
        yield b"once"

    assert requests.post(api.url, data=body(), auth=tokens, timeout=10).status_code == 401
    with httpx.Client(auth=tokens) as client:
        api.seen.clear()
        api.accepts = lambda token: False
        assert client.post(api.url, content=body()).status_code == 401
    assert len(api.seen) == 1


def test_a_file_is_sent_again_from_where_it_was(api: Api, tokens: doorward.TokenSource) -> None:
    rejected = tokens.token()
    api.accepts = lambda token: token != rejected
    upload = io.BytesIO(b"skipped, sent")
    upload.seek(9)
    assert requests.post(api.url, data=upload, auth=tokens, timeout=10).status_code == 200
    assert [request.body for request in api.seen] == [b"sent", b"sent"]


def test_waiting_for_a_token_does_not_block_the_loop(
    api: Api, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    issuer.fail("token", delay=0.3)

    async def main() -> int:
        turns = 0

        async def watch() -> None:
            nonlocal turns
            while tokens.expires_at is None:
                turns += 1
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        async with httpx.AsyncClient(auth=tokens) as client:
            answers = await asyncio.gather(*(client.get(api.url) for _ in range(20)))
        await watching
        assert {answer.status_code for answer in answers} == {200}
        return turns

    # A loop that is held up turns once or twice while there is no token.
    assert asyncio.run(main()) > 20
    assert issuer.requests("token") == 1


def test_a_source_is_an_auth_for_httpx_and_httpx2(tokens: doorward.TokenSource) -> None:
    assert isinstance(tokens, httpx.Auth) and isinstance(tokens, httpx2.Auth)
    assert isinstance(tokens, doorward.TokenSource)
    assert type(tokens) is doorward.TokenSource
    assert isinstance(doorward.httpx.Auth(tokens), httpx.Auth)
    assert isinstance(doorward.httpx2.Auth(tokens), httpx2.Auth)


def test_aiohttp_requires_the_origins_of_tokens(tokens: doorward.TokenSource) -> None:
    with pytest.raises(ValueError, match="name the origins"):
        doorward.aiohttp.Bearer(tokens)
    for none in ("churn.internal", "churn.internal:8000", "//churn.internal", "https://", "ftp://churn.internal", ""):
        with pytest.raises(ValueError):
            doorward.aiohttp.Bearer(tokens, "https://churn.internal", none)


def test_aiohttp_accepts_both_spellings_of_an_idn(tokens: doorward.TokenSource) -> None:
    class Request:
        url = URL("https://xn--prfung-4ya.example/")
        headers: dict[str, str] = {}
        body = b""

    async def handler(request: Any) -> Any:
        return SimpleNamespace(status=200)

    asyncio.run(doorward.aiohttp.Bearer(tokens, "https://prüfung.example")(Request(), handler))  # type: ignore[arg-type]
    assert Request.headers == {"Authorization": tokens.authorization()}


def test_aiohttp_does_not_send_a_consumed_body_again(api: Api, tokens: doorward.TokenSource) -> None:
    api.accepts = lambda token: False

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async def main() -> int:
        bearer = doorward.aiohttp.Bearer(tokens, api.url)
        async with aiohttp.ClientSession(middlewares=(bearer,)) as session, session.post(api.url, data=body()) as answer:
            return answer.status

    assert asyncio.run(main()) == 401
    assert len(api.seen) == 1


def test_fsspec_reads_with_a_token(api: Api, tokens: doorward.TokenSource) -> None:
    files = fsspec.filesystem(
        "http", get_client=doorward.fsspec.client(tokens, api.url), skip_instance_cache=True, asynchronous=False
    )
    assert files.cat(api.url + "/scores") == b"welcome"
    assert set(api.tokens) == {tokens.token()}


def test_headers_are_fresh_at_each_read(api: Api, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    headers = doorward.urllib3.headers(tokens, {"Accept": "text/plain"})
    assert issuer.requests("token") == 0
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", api.url, headers=headers).status == 200
        rejected = tokens.token()
        assert tokens.token(rejected=rejected) != rejected
        assert pool.request("GET", api.url, headers=headers).status == 200
    assert api.tokens == [rejected, tokens.token()]
    assert rejected not in repr(headers)


def test_urllib3_sends_one_authorization_in_any_spelling(api: Api, tokens: doorward.TokenSource) -> None:
    others = {"authorization": "Basic eDp5", "Accept": "text/plain"}
    with doorward.urllib3.PoolManager(tokens, headers=others) as ours, urllib3.PoolManager() as pool:
        assert ours.request("GET", api.url).status == 200
        assert ours.request("GET", api.url, headers=others).status == 200
        assert pool.request("GET", api.url, headers=doorward.urllib3.headers(tokens, others)).status == 200
    assert api.tokens == [tokens.token()] * 3


# === gRPC ===


@pytest.fixture
def calls() -> Iterator[tuple[str, list[str], list[Callable[[str], bool]]]]:
    seen: list[str] = []
    accepts: list[Callable[[str], bool]] = [lambda token: True]

    def answer(request: bytes, context: Any) -> bytes:
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        seen.append(token)
        if not accepts[0](token):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return request

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.method_handlers_generic_handler("Scores", {"Score": grpc.unary_unary_rpc_method_handler(answer)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    server.start()
    yield f"127.0.0.1:{port}", seen, accepts
    server.stop(None).wait()


def score(channel: Any) -> Any:
    return channel.unary_unary("/Scores/Score")(b"7", timeout=10)


def test_grpc_calls_carry_the_token(calls: Any, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    target, seen, _ = calls
    credentials = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), doorward.grpc.call_credentials(tokens)
    )
    with grpc.secure_channel(target, credentials) as channel:
        for _ in range(3):
            assert score(channel) == b"7"
        issuer.fail("token", status=503)
        other = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(),
            doorward.grpc.call_credentials(doorward.Issuer(issuer.url).client_credentials("client", secret="secret")),
        )
    assert seen == [tokens.token()] * 3
    with grpc.secure_channel(target, other) as channel, pytest.raises(grpc.RpcError) as caught:
        score(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_interceptor_repeats_a_call_once(calls: Any, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    target, seen, accepts = calls
    rejected = tokens.token()
    accepts[0] = lambda token: token != rejected
    with grpc.secure_channel(target, grpc.local_channel_credentials()) as plain:
        channel = grpc.intercept_channel(plain, doorward.grpc.Interceptor(tokens))
        assert score(channel) == b"7"
        assert seen == [rejected, tokens.token()]
        accepts[0] = lambda token: False
        for _ in range(3):
            with pytest.raises(grpc.RpcError):
                score(channel)
    assert len(seen) == 5
    assert issuer.requests("token") == 2


def test_starting_a_call_does_not_wait_for_its_result(calls: Any, tokens: doorward.TokenSource) -> None:
    target, seen, accepts = calls
    begun = threading.Event()
    accepts[0] = lambda token: begun.wait(5)
    with grpc.secure_channel(target, grpc.local_channel_credentials()) as plain:
        channel: Any = grpc.intercept_channel(plain, doorward.grpc.Interceptor(tokens))
        call = channel.unary_unary("/Scores/Score").future(b"7", timeout=10)
        begun.set()
        assert call.result() == b"7"
    assert seen == [tokens.token()]
