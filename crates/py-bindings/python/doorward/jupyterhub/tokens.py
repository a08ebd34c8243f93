"""Fresh access tokens of people, kept by the hub for their notebooks.

The gateway shows the hub a person's access token, which ends in minutes. A client of the hub's own exchanges it for a refresh token in
the same session at the issuer, and refreshes when a notebook wants a token: for hours, and no longer than the session. Notebooks get
access tokens, and no refresh token.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .. import IssuerMisconfigured, IssuerUnavailable, TokenRequestRefused, TokenSource
from ..notebook import SignInNeeded

__all__ = ["PersonTokens", "SessionEnded", "TokenKeeper", "peek"]

_LEAST_LEFT = 30.0
"""Seconds that a token has left when it is handed out, unless it lives so shortly that a quarter of its life is less."""


_PAUSE = 10.0
"""Seconds for which requests of browsers do not ask the issuer again after it did not answer one."""


class SessionEnded(SignInNeeded):
    """The issuer has just reported the end of the session."""


@dataclass(repr=False)
class PersonTokens:
    """A person's tokens at the hub. Never shown."""

    access_token: str | None = None
    expires_at: float | None = None
    """Seconds since 1970."""

    life: float = 0.0
    """Seconds that the access token had when it came."""

    refresh_token: str | None = None
    session: str | None = None
    """``sid`` of the token the gateway showed: the session at the issuer."""

    @classmethod
    def read(cls, state: Mapping[str, Any] | None) -> PersonTokens:
        """From ``auth_state``."""
        return cls(**{each.name: state[each.name] for each in fields(cls) if each.name in (state or {}) and state})

    def write(self) -> dict[str, Any]:
        """For ``auth_state``."""
        return asdict(self)

    def left(self) -> float:
        """Seconds that the access token is good for."""
        if self.access_token is None:
            return 0.0
        return float("inf") if self.expires_at is None else self.expires_at - time.time()

    def good(self) -> bool:
        """True if the access token has enough time left to be handed out."""
        return self.left() > min(_LEAST_LEFT, self.life / 4)

    def take(self, answer: Mapping[str, Any]) -> None:
        """Keep what the issuer gave."""
        self.access_token = answer["access_token"]
        self.expires_at = answer["expires_at"]
        self.life = self.left()
        self.refresh_token = answer["refresh_token"] or self.refresh_token

    def forget(self) -> None:
        """Keep nothing."""
        self.access_token = self.expires_at = self.refresh_token = self.session = None


@dataclass(repr=False)
class _Kept:
    tokens: PersonTokens
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: str | None = None
    """The last token of the gateway that was exchanged, or refused for good."""

    pause: float = 0.0
    """Time until which the issuer is not asked, by the monotonic clock."""


class TokenKeeper:
    """Keeps people's tokens, by their names at the hub.

    The tokens in memory count; ``auth_state`` is the copy that a restart of the hub begins with.

    Args:
        source: the hub's own client; ``None``: people's tokens are those that the gateway shows, as long as they last.
    """

    def __init__(self, source: TokenSource | None) -> None:
        self._source = source
        self._people: dict[str, _Kept] = {}

    def kept(self, name: str, state: Mapping[str, Any] | None) -> PersonTokens:
        """The tokens kept for a person; at first those of ``auth_state``."""
        return self._of(name, state).tokens

    def _of(self, name: str, state: Mapping[str, Any] | None) -> _Kept:
        kept = self._people.get(name)
        if kept is None:
            kept = self._people[name] = _Kept(PersonTokens.read(state))
        return kept

    async def shown(self, name: str, state: Mapping[str, Any] | None, token: str) -> bool:
        """The gateway has shown a person's access token. True if what is kept has changed.

        Raises:
            DoorwardError: if the issuer does not give a token of the hub's own for it; what was kept stays.
        """
        kept = self._of(name, state)
        session = peek(token).get("sid")
        async with kept.lock:
            tokens = kept.tokens
            if self._source is None:
                if token == tokens.access_token:
                    return False
                ends = peek(token).get("exp")
                ends = float(ends) if isinstance(ends, (int, float)) else None
                tokens.take({"access_token": token, "expires_at": ends, "refresh_token": None})
                tokens.session = session
                return True
            if token == kept.used or (tokens.refresh_token and tokens.session == session) or time.monotonic() < kept.pause:
                return False
            try:
                answer = await self._source.person_async(subject_token=token)
            except IssuerUnavailable as unavailable:
                kept.pause = time.monotonic() + (unavailable.retry_after or _PAUSE)
                raise
            except IssuerMisconfigured:
                kept.pause = time.monotonic() + _PAUSE
                raise
            except TokenRequestRefused:
                kept.used = token
                raise
            kept.used = token
            tokens.forget()
            tokens.take(answer)
            tokens.session = session
            return True

    async def fresh(self, name: str, state: Mapping[str, Any] | None) -> tuple[PersonTokens, bool]:
        """A person's tokens with a good access token, and whether they have changed.

        Raises:
            SignInNeeded: if there is none, and the issuer gives none.
            DoorwardError: if the issuer cannot be asked.
        """
        kept = self._of(name, state)
        async with kept.lock:
            tokens = kept.tokens
            if tokens.good():
                return tokens, False
            if self._source is None or tokens.refresh_token is None:
                raise SignInNeeded("the hub has no valid token of yours")
            try:
                answer = await self._source.person_async(refresh_token=tokens.refresh_token)
            except TokenRequestRefused as refused:
                if refused.error != "invalid_grant":
                    raise
                tokens.forget()
                raise SessionEnded("your session has ended") from refused
            tokens.take(answer)
            return tokens, True

    async def exchanged(self, tokens: PersonTokens, audience: str) -> tuple[str, float]:
        """A person's token for another audience (RFC 8693), and the seconds it is good for."""
        if self._source is None or tokens.access_token is None:
            raise SignInNeeded("the hub has no client to exchange your token")
        other = self._source.exchange(audience=audience, subject_token=tokens.access_token)
        token = await other.token_async()
        ends = peek(token).get("exp")
        left = ends - time.time() if isinstance(ends, (int, float)) else tokens.left()
        return token, left

    def forget(self, name: str) -> None:
        """Keep nothing of a person, because the hub signs them out."""
        if (kept := self._people.get(name)) is not None:
            # Replaced, not emptied: tokens that the issuer is being asked for just now are not kept either.
            kept.tokens = PersonTokens()
            kept.used = None


def peek(token: str) -> dict[str, Any]:
    """The claims of a token, unverified: for distinguishing sessions and for the time of the next request, never for a decision."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
