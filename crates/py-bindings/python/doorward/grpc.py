"""Tokens on `gRPC`_ calls.

On a channel with TLS, call credentials::

    secure = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), call_credentials(tokens))
    channel = grpc.secure_channel("scores.internal:443", secure)

They cannot repeat a call. An interceptor can, and needs no TLS, for services behind a mesh or on loopback::

    channel = grpc.intercept_channel(grpc.insecure_channel("127.0.0.1:50051"), Interceptor(tokens))

A call with one request and one answer that ends with ``UNAUTHENTICATED`` is then repeated once, with a fresh token if there is one;
streams, and calls that their caller does not wait for (``.future()``), carry the token and are not repeated.

.. _gRPC: https://grpc.io/docs/languages/python/
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc

from . import DoorwardError, TokenSource
from ._renewal import renewed

__all__ = ["Interceptor", "call_credentials"]

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
        if not call.done() or call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        fresh = renewed(self._tokens, authorization)
        return call if fresh is None else continuation(_with(details, fresh), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(_with(details, self._tokens.authorization()), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(_with(details, self._tokens.authorization()), requests)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(_with(details, self._tokens.authorization()), requests)


def _with(details: Any, authorization: str) -> _Details:
    kept = [(name, value) for name, value in details.metadata or () if name.lower() != _HEADER]
    return _Details(
        details.method,
        details.timeout,
        [*kept, (_HEADER, authorization)],
        details.credentials,
        details.wait_for_ready,
        details.compression,
    )
