"""Terminal output: colours where there is a terminal, times a person can read, foreign text without control characters."""

from __future__ import annotations

import os
import sys
import unicodedata
from datetime import datetime, timezone

_UNITS = [("year", 31_557_600), ("month", 2_630_016), ("day", 86_400), ("h", 3600), ("m", 60), ("s", 1)]


def good(text: str) -> str:
    """Style of a success."""
    return _painted("1;32", text)


def bad(text: str) -> str:
    """Style of a failure."""
    return _painted("1;31", text)


def label(text: str) -> str:
    """Style of the subject of a line."""
    return _painted("2", text)


def strong(text: str) -> str:
    """Style of text that a person has to type or open."""
    return _painted("1", text)


def _painted(style: str, text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR")
    return text if plain else f"\x1b[{style}m{text}\x1b[0m"


def shown(text: str) -> str:
    """Foreign text that can neither move the cursor nor turn the direction of writing."""

    def safe(character: str) -> str:
        tricks = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        return f"\\u{{{ord(character):x}}}" if tricks else character

    return "".join(map(safe, text))


def moment(time: datetime) -> str:
    """A moment in UTC, and how far it is: ``2026-11-21T08:30:00Z (in 4m 12s)``."""
    seconds = (time - datetime.now(timezone.utc)).total_seconds()
    distance = f"in {span(seconds)}" if seconds >= 1 else "now" if seconds >= 0 else f"{span(-seconds)} ago"
    return f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ} ({distance})"


def span(seconds: float) -> str:
    """A span of time, in seconds, with the units that matter: ``4m 12s``, ``11h 59m``, ``3days 2h``."""
    left = int(seconds)
    left -= left % (1 if left < 3600 else 60 if left < 86_400 else 3600)
    words = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            words.append(f"{count}{unit}{'s' if count > 1 and len(unit) > 1 else ''}")
    return " ".join(words) or "0s"


def say(text: str = "") -> None:
    """A line of output, at once."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line for people, beside the output."""
    print(f" WARN {text}", file=sys.stderr, flush=True)
