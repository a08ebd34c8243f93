"""Tokens on `gRPC`_ calls.

On a channel with TLS, call credentials::

    secure = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), call_credentials(tokens))
    channel = grpc.secure_channel("scores.internal:443", secure)

They never see how a call ends, so a token that a service refuses is sent until it expires. Interceptors see it, and need no TLS, for
services behind a mesh or on loopback::

    channel = grpc.intercept_channel(grpc.insecure_channel("127.0.0.1:50051"), Interceptor(tokens))

    async with grpc.aio.insecure_channel("127.0.0.1:50051", interceptors=aio_interceptors(tokens)) as channel: ...

A token of a call that ends with ``UNAUTHENTICATED`` is replaced. A call with one request and one answer is repeated once with the fresh
token. Streams, and calls that their caller does not wait for (``.future()``), are not repeated: their next call has the fresh token.

.. _gRPC: https://grpc.io/docs/languages/python/
"""

from __future__ import annotations

from ._floor import needs

needs("grpcio", "1.60", extra="grpc")

import asyncio
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc

from . import DoorwardError, TokenSource
from ._renewal import renewed, renewed_async, token_in

__all__ = ["Interceptor", "aio_interceptors", "call_credentials"]

_HEADER = "authorization"


def call_credentials(tokens: TokenSource) -> grpc.CallCredentials:
    """The tokens of a source as call credentials. Where there is no token, calls end with ``UNAVAILABLE`` and say why."""
    return grpc.metadata_call_credentials(_Plugin(tokens), name="doorward")


class _Plugin(grpc.AuthMetadataPlugin):
    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def __call__(self, context: Any, callback: Callable[[Any, Any], None]) -> None:
        # gRPC calls this on a thread of its own.
        try:
            metadata = ((_HEADER, self._tokens.authorization()),)
        except DoorwardError as error:
            callback((), error)
        else:
            callback(metadata, None)


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,
):
    pass


class Interceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Puts the tokens of a source on calls.

    Args:
        tokens: source of the tokens.
    """

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        authorization = self._tokens.authorization()
        call = continuation(_with(details, authorization), request)
        # Asking a running call for its code would wait for it, which a caller of `future` does not want.
        if not call.done():
            return self._watched(call, authorization)
        if call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        fresh = renewed(self._tokens, authorization)
        return call if fresh is None else continuation(_with(details, fresh), request)

    def _intercept_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        authorization = self._tokens.authorization()
        return self._watched(continuation(_with(details, authorization), request), authorization)

    intercept_unary_stream: Any = _intercept_stream
    intercept_stream_unary: Any = _intercept_stream
    intercept_stream_stream: Any = _intercept_stream

    def _watched(self, call: Any, authorization: str) -> Any:
        """The call, whose token is reported if it ends with a refusal."""

        def ended() -> None:
            if call.code() is grpc.StatusCode.UNAUTHENTICATED:
                # On a thread of gRPC, which must not wait.
                self._tokens.reject(token_in(authorization))

        if call.done() or not call.add_callback(ended):
            ended()
        return call


def _with(details: Any, authorization: str) -> _Details:
    return _Details(
        details.method,
        details.timeout,
        [*_without_authorization(details), (_HEADER, authorization)],
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )


def _without_authorization(details: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in details.metadata or () if name.lower() != _HEADER]


# === grpc.aio ===


def aio_interceptors(tokens: TokenSource) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for a channel of ``grpc.aio``, one for each kind of call: they do what :class:`Interceptor` does.

    Args:
        tokens: source of the tokens.
    """
    return [kind(tokens) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Aio:
    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens
        # An event loop itself does not keep its tasks.
        self._reports: set[asyncio.Task[None]] = set()

    async def _intercept_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        authorization = await self._tokens.authorization_async()
        call = await continuation(_with_aio(details, authorization), request)

        def ended(call: Any) -> None:
            report = asyncio.get_running_loop().create_task(self._report(call, authorization))
            self._reports.add(report)
            report.add_done_callback(self._reports.discard)

        call.add_done_callback(ended)
        return call

    async def _report(self, call: Any, authorization: str) -> None:
        if await call.code() is grpc.StatusCode.UNAUTHENTICATED:
            self._tokens.reject(token_in(authorization))


class _UnaryUnary(_Aio, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        authorization = await self._tokens.authorization_async()
        call = await continuation(_with_aio(details, authorization), request)
        if await call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        fresh = await renewed_async(self._tokens, authorization)
        return call if fresh is None else await continuation(_with_aio(details, fresh), request)


class _UnaryStream(_Aio, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _Aio._intercept_stream


class _StreamUnary(_Aio, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _Aio._intercept_stream


class _StreamStream(_Aio, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _Aio._intercept_stream


def _with_aio(details: Any, authorization: str) -> grpc.aio.ClientCallDetails:
    return grpc.aio.ClientCallDetails(
        details.method,
        details.timeout,
        grpc.aio.Metadata(*_without_authorization(details), (_HEADER, authorization)),
        details.credentials,
        details.wait_for_ready,
    )
