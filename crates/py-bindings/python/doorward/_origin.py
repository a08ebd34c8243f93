"""What an origin is (RFC 6454 §4): the one place a token goes to."""

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
