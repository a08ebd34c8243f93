"""A token's content without any check, for debugging."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple

from ._errors import MalformedToken

_LARGEST = 64 * 1024
_BASE64URL = re.compile("[A-Za-z0-9_-]+")
_REMEDY = 'pass a JWT alone, without "Bearer " and unmodified'


class Unverified(NamedTuple):
    """Content of a JWT that was not verified: any sender may have written it. Never decide by it."""

    header: dict[str, Any]
    """The header (RFC 7515 §4)."""

    claims: dict[str, Any]
    """The payload (RFC 7519 §4)."""


def unverified(token: str) -> Unverified:
    """Decode a JWT **without verifying it**, to look at a token that is refused. It never replaces :meth:`Verifier.verify`.

    Raises:
        MalformedToken: if it is not a JWT in compact form (RFC 7515 §7.1), or one that two parsers could read differently.
    """
    if len(token) > _LARGEST:
        raise _malformed("it is larger than 64 KiB")
    parts = token.split(".")
    if len(parts) != 3:
        raise _malformed("it does not have three parts; it may be opaque, so that only its issuer can read it")
    header, claims = (_object(name, part) for name, part in zip(("header", "payload"), parts))
    return Unverified(header, claims)


def _object(name: str, part: str) -> dict[str, Any]:
    octets = _octets(part)
    if octets is None:
        raise _malformed(f"its {name} is not base64url without padding")
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=_members, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise _malformed(f"its {name} is not a JSON object with each member once") from None
    if not isinstance(value, dict):
        raise _malformed(f"its {name} is not a JSON object")
    return value


def _octets(part: str) -> bytes | None:
    """The bytes of base64url without padding (RFC 7515 §2), if they have no other spelling."""
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        return None
    octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return octets if base64.urlsafe_b64encode(octets).rstrip(b"=") == part.encode() else None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _malformed(reason: str) -> MalformedToken:
    return MalformedToken(f"the token cannot be read: {reason}", remedy=_REMEDY)
