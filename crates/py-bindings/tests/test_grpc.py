"""Tokens on gRPC calls of every kind, sync and asyncio: a refused token is replaced, whether or not the call can be repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

import doorward
import doorward.grpc
from doorward.testing import Issuer

from .conftest import until


@dataclass
class Scores:
    """A service whose methods answer what they were sent."""

    target: str = ""
    accepts: Callable[[str], bool] = lambda token: True
    seen: list[str] = field(default_factory=list)

    def check(self, context: Any) -> None:
        values = [value for name, value in context.invocation_metadata() if name == "authorization"]
        assert len(values) == 1, values
        token = values[0].removeprefix("Bearer ")
        self.seen.append(token)
        if not self.accepts(token):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    def one(self, request: bytes, context: Any) -> bytes:
        self.check(context)
        return request

    def many(self, request: bytes, context: Any) -> Iterator[bytes]:
        self.check(context)
        yield from [request] * 2

    def from_many(self, requests: Iterator[bytes], context: Any) -> bytes:
        # grpc.aio reports INTERNAL instead of the status of a call that ends while its requests are being sent.
        received = list(requests)
        self.check(context)
        return b"".join(received)

    def many_from_many(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        received = list(requests)
        self.check(context)
        yield from received


@pytest.fixture
def scores() -> Iterator[Scores]:
    scores = Scores()
    methods: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(scores.one),
        "Many": grpc.unary_stream_rpc_method_handler(scores.many),
        "FromMany": grpc.stream_unary_rpc_method_handler(scores.from_many),
        "ManyFromMany": grpc.stream_stream_rpc_method_handler(scores.many_from_many),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Scores", methods),))
    scores.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield scores
    server.stop(None).wait()


SENT = [b"4", b"2"]

# Each kind of call, that its caller waits for or not: the answer.
SYNC: dict[str, Callable[[Any], bytes]] = {
    "one": lambda channel: channel.unary_unary("/Scores/One")(b"42", timeout=10),
    "one_later": lambda channel: channel.unary_unary("/Scores/One").future(b"42", timeout=10).result(),
    "many": lambda channel: b"".join(channel.unary_stream("/Scores/Many")(b"42", timeout=10))[:2],
    "from_many": lambda channel: channel.stream_unary("/Scores/FromMany")(iter(SENT), timeout=10),
    "from_many_later": lambda channel: channel.stream_unary("/Scores/FromMany").future(iter(SENT), timeout=10).result(),
    "many_from_many": lambda channel: b"".join(channel.stream_stream("/Scores/ManyFromMany")(iter(SENT), timeout=10)),
}


async def joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


async def written(channel: Any) -> bytes:
    call = channel.stream_stream("/Scores/ManyFromMany")(timeout=10)
    for part in SENT:
        await call.write(part)
    await call.done_writing()
    return await joined(call)


async def one(channel: Any) -> bytes:
    return bytes(await channel.unary_unary("/Scores/One")(b"42", timeout=10))


async def many(channel: Any) -> bytes:
    return (await joined(channel.unary_stream("/Scores/Many")(b"42", timeout=10)))[:2]


async def from_many(channel: Any) -> bytes:
    return bytes(await channel.stream_unary("/Scores/FromMany")(iter(SENT), timeout=10))


async def many_from_many(channel: Any) -> bytes:
    return await joined(channel.stream_stream("/Scores/ManyFromMany")(iter(SENT), timeout=10))


ASYNC: list[Callable[[Any], Any]] = [one, many, from_many, many_from_many, written]


@pytest.fixture
def channel(scores: Scores, tokens: doorward.TokenSource) -> Iterator[Any]:
    with grpc.insecure_channel(scores.target) as plain:
        yield grpc.intercept_channel(plain, doorward.grpc.Interceptor(tokens))


@pytest.mark.parametrize("call", SYNC)
def test_a_call_carries_the_token(call: str, channel: Any, scores: Scores, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    assert [SYNC[call](channel) for _ in range(2)] == [b"42"] * 2
    assert scores.seen == [tokens.token()] * 2
    assert issuer.requests("token") == 1


@pytest.mark.parametrize("call", SYNC)
def test_a_refused_call_replaces_the_token(call: str, channel: Any, scores: Scores, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    revoked = tokens.token()
    scores.accepts = lambda token: token != revoked
    try:
        assert SYNC[call](channel) == b"42"
        # The second ends before its caller waits, at times.
        assert call in ("one", "one_later")
    except grpc.RpcError as error:
        assert call != "one" and error.code() is grpc.StatusCode.UNAUTHENTICATED
        until(lambda: tokens.token() != revoked)
        assert SYNC[call](channel) == b"42"
    assert scores.seen == [revoked, tokens.token()]
    assert issuer.requests("token") == 2


@pytest.mark.parametrize("call", SYNC)
def test_a_call_refused_for_another_reason_keeps_the_token(
    call: str, channel: Any, scores: Scores, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    kept = tokens.token()
    scores.accepts = lambda token: 1 / 0 > 0
    with pytest.raises(grpc.RpcError):
        SYNC[call](channel)
    assert tokens.token() == kept
    assert issuer.requests("token") == 1


def test_a_report_does_not_hold_up_other_calls(channel: Any, scores: Scores, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    revoked = tokens.token()
    scores.accepts = lambda token: token != revoked
    issuer.fail("token", delay=5)
    with pytest.raises(grpc.RpcError):
        SYNC["many"](channel)
    scores.accepts = lambda token: True
    began = time.monotonic()
    assert SYNC["many"](channel) == b"42"
    assert time.monotonic() - began < 4


def over_aio(scores: Scores, tokens: doorward.TokenSource, *calls: Callable[[Any], Any]) -> list[Any]:
    async def main() -> list[Any]:
        interceptors = doorward.grpc.aio_interceptors(tokens)
        answers: list[Any] = []
        async with grpc.aio.insecure_channel(scores.target, interceptors=interceptors) as channel:
            for call in calls:
                before = tokens.token()
                try:
                    answers.append(await call(channel))
                except grpc.aio.AioRpcError as error:
                    answers.append(error.code())
                    while not scores.accepts(before) and tokens.token() == before:
                        await asyncio.sleep(0.01)
        return answers

    return asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("call", ASYNC)
def test_an_asyncio_call_carries_the_token(
    call: Callable[[Any], Any], scores: Scores, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    assert over_aio(scores, tokens, call, call) == [b"42"] * 2
    assert scores.seen == [tokens.token()] * 2
    assert issuer.requests("token") == 1


@pytest.mark.parametrize("call", ASYNC)
def test_a_refused_asyncio_call_replaces_the_token(
    call: Callable[[Any], Any], scores: Scores, issuer: Issuer, tokens: doorward.TokenSource
) -> None:
    revoked = tokens.token()
    scores.accepts = lambda token: token != revoked
    answers = over_aio(scores, tokens, call, call)
    if call is one:
        assert answers == [b"42"] * 2
        assert scores.seen == [revoked, tokens.token(), tokens.token()]
    else:
        assert answers == [grpc.StatusCode.UNAUTHENTICATED, b"42"]
        assert scores.seen == [revoked, tokens.token()]
    assert issuer.requests("token") == 2


def test_an_asyncio_call_refused_twice_ends(scores: Scores, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    async def main() -> list[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(scores.target, interceptors=doorward.grpc.aio_interceptors(tokens)) as channel:
            codes = []
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await one(channel)
                codes.append(caught.value.code())
            return codes

    scores.accepts = lambda token: False
    assert asyncio.run(main()) == [grpc.StatusCode.UNAUTHENTICATED] * 3
    assert len(scores.seen) == 4
    assert issuer.requests("token") == 2


def test_an_asyncio_call_without_a_token_raises_the_reason(scores: Scores, issuer: Issuer, tokens: doorward.TokenSource) -> None:
    issuer.fail("token", status=503)

    async def main(call: Callable[[Any], Any]) -> None:
        async with grpc.aio.insecure_channel(scores.target, interceptors=doorward.grpc.aio_interceptors(tokens)) as channel:
            with pytest.raises(doorward.IssuerUnavailable):
                await call(channel)

    for call in (one, many):
        asyncio.run(main(call))
    assert scores.seen == []


def test_a_callers_own_authorization_is_replaced(scores: Scores, tokens: doorward.TokenSource) -> None:
    async def main(metadata: Any) -> None:
        async with grpc.aio.insecure_channel(scores.target, interceptors=doorward.grpc.aio_interceptors(tokens)) as channel:
            call: Any = channel.unary_unary("/Scores/One")
            assert await call(b"42", metadata=metadata, timeout=10) == b"42"

    asyncio.run(main(grpc.aio.Metadata(("authorization", "Basic eDp5"))))
    asyncio.run(main((("authorization", "Basic eDp5"),)))
    assert scores.seen == [tokens.token()] * 2
