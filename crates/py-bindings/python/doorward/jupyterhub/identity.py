"""The person that a name at the hub belongs to: an issuer and a subject, never the name alone.

Two issuers may use the same user name, and the same subject, for different people. The name at the hub is what separates their servers and
files. This module reads no request and keeps nothing on a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .. import Claims, ConfigurationError

__all__ = ["Identity", "Issuers", "Names"]


class Identity(NamedTuple):
    """An issuer and a subject there. A gateway from before the claim ``idp`` does not say the issuer: ``None``."""

    issuer: str | None
    subject: str

    @classmethod
    def of(cls, claims: Claims) -> Identity:
        """The identity that the gateway vouches for.

        Raises:
            ValueError: if ``idp`` is not a text, or empty.
        """
        if "idp" not in claims:
            return cls(None, claims.subject)
        issuer = claims["idp"]
        if not isinstance(issuer, str) or not issuer:
            raise ValueError("invalid idp: not the URL of an issuer")
        return cls(issuer, claims.subject)

    @classmethod
    def recorded(cls, about: Mapping[str, Any]) -> Identity | None:
        """The identity in what the hub has kept about a name (``auth_state``); ``None`` if it has kept none."""
        subject = about.get("subject")
        return None if subject is None else cls(about.get("issuer"), subject)

    def agrees_with(self, other: Identity) -> bool:
        """True if both may be the same person. An unknown issuer agrees with any, so that the subject alone decides."""
        return self.subject == other.subject and (self.issuer == other.issuer or None in (self.issuer, other.issuer))

    def merged_with(self, other: Identity | None) -> Identity:
        """The same, with the issuer of the other where this one's is unknown: a gateway of an older version takes nothing back."""
        return self._replace(issuer=self.issuer or (other.issuer if other is not None else None))


class Issuers:
    """The issuers whose people the hub takes.

    Args:
        allowed: the only ones; then an identity without an issuer is refused too. Empty: one issuer, whichever it is.
        single: that one, where it is known beforehand; else it is the first that signs in.
    """

    def __init__(self, allowed: Iterable[str], single: str | None) -> None:
        self._allowed = frozenset(allowed)
        self._single = single

    def objection(self, identity: Identity) -> str | None:
        """The reason to refuse an identity, with the remedy; ``None`` if there is none."""
        issuer = identity.issuer
        if self._allowed:
            if issuer is None:
                return "missing idp in the assertion, and allowed_issuers is set; upgrade the gateway"
            return None if issuer in self._allowed else f"the issuer {issuer!r} is not in allowed_issuers"
        if issuer is None or self._single in (None, issuer):
            return None
        return f"the issuer {issuer!r} is not the one of this hub, {self._single!r}; set allowed_issuers to accept users of both"

    def accepted(self, identity: Identity) -> None:
        """Note that a person of this issuer has signed in."""
        self._single = self._single or identity.issuer


class Names:
    """Names at the hub that the operator gives to certain people.

    Args:
        given: names by issuer and subject.
        normalize: how the hub writes names.

    Raises:
        ConfigurationError: if the names are of another form.
    """

    def __init__(self, given: Mapping[str, Any], normalize: Callable[[str], str]) -> None:
        self._given: dict[Identity, str] = {}
        for issuer, people in given.items():
            if not isinstance(people, Mapping) or not all(isinstance(text, str) and text for each in people.items() for text in each):
                raise ConfigurationError(
                    f"invalid usernames of {issuer!r}: not a mapping of subjects to names",
                    field="usernames",
                    remedy="write {'https://id.example/realms/name': {'SUBJECT': 'name at the hub'}}",
                )
            for subject, name in people.items():
                self._given[Identity(issuer, subject)] = normalize(name)
        self._taken = frozenset(self._given.values())

    def given_to(self, identity: Identity) -> str | None:
        """The name that the operator gives to a person, if any."""
        return self._given.get(identity)

    def is_given(self, name: str) -> bool:
        """True if the operator gives this name: it then belongs to the people it is given to, and to no other."""
        return name in self._taken
