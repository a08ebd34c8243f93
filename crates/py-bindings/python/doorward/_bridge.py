"""How the native part settles a future: run by the event loop the future belongs to."""

from __future__ import annotations

import asyncio
from typing import Any


def succeed(future: asyncio.Future[Any], value: object) -> None:
    """Give the result, unless whoever waited has been cancelled."""
    if not future.done():
        future.set_result(value)


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Raise the error where it is awaited, unless whoever waited has been cancelled."""
    if not future.done():
        future.set_exception(error)
