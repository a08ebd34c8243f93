"""Callers of applications: over ASGI, over WSGI, and by WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx

Header = tuple[str, str]
Ask = Callable[..., httpx.Response]


def over_asgi(app: Any) -> Ask:
    async def ask(headers: list[Header], path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.get(path, headers=headers)

    return lambda *headers, path="/": asyncio.run(ask(list(headers), path))


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def over_wsgi(app: Any) -> Ask:
    """By a real server, which joins headers of the same name as servers do."""

    def ask(*headers: Header, path: str = "/") -> httpx.Response:
        with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server, ThreadPoolExecutor(1) as threads:
            threads.submit(server.handle_request)
            return httpx.get(f"http://127.0.0.1:{server.server_port}{path}", headers=list(headers))

    return ask


def connect(app: Any, *headers: Header) -> list[Any]:
    """Messages of an application to a client that opens ``/chat`` and then leaves."""

    async def main() -> list[Any]:
        said: list[Any] = []
        asked = iter([{"type": "websocket.connect"}])

        async def receive() -> Any:
            return next(asked, {"type": "websocket.disconnect", "code": 1001})

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": "/chat",
            "raw_path": b"/chat",
            "root_path": "",
            "query_string": b"",
            "scheme": "ws",
            "server": ("service", 80),
            "subprotocols": [],
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "extensions": {"websocket.http.response": {}},
        }
        await app(scope, receive, send)
        return said

    return asyncio.run(main())
