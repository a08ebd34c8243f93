"""Settles futures for the native part: called by the event loop the future belongs to."""

from __future__ import annotations

import asyncio
from typing import Any


def succeed(future: asyncio.Future[Any], value: object) -> None:
    """Give the result, unless the waiting task was cancelled."""
    if not future.done():
        future.set_result(value)


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Raise the error where it is awaited, unless the waiting task was cancelled."""
    if not future.done():
        future.set_exception(error)
