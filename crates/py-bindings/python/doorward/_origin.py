"""Origins (RFC 6454 §4): a token goes to its origin only."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

Origin = tuple[str, str, "int | None"]


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL. One that cannot be read has an origin of its own."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme)
    except ValueError:
        return "", url, None


def origin_named(url: str) -> Origin:
    """The origin that a caller names.

    Raises:
        ValueError: if no request can have it: without scheme or host, no token would ever be sent.
    """
    origin = origin_of(url)
    if origin[0] not in _PORTS or not origin[1]:
        raise ValueError(f"invalid origin {url!r}: write it as https://churn.internal")
    return origin
