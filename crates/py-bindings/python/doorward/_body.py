"""Bodies of requests: whether one can be sent again, and from which position.

A body is sent again only where that is certain: one that would arrive cut or empty is sent once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["rewinding"]


def rewinding(body: Any) -> Callable[[], bool]:
    """A function that rewinds the body to its present position, and returns false if the body cannot be sent again."""
    if body is None or isinstance(body, (bytes, bytearray, memoryview, str, list, tuple)):
        return lambda: True
    if not hasattr(body, "seek") or not hasattr(body, "tell"):
        return lambda: False
    try:
        start = body.tell()
    # A closed file raises ValueError.
    except (OSError, ValueError):
        return lambda: False

    def rewind() -> bool:
        try:
            body.seek(start)
        except (OSError, ValueError):
            return False
        return True

    return rewind
