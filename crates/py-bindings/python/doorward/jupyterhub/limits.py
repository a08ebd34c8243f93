"""Sizes of people's servers: a list of people and settings, in which the first matching entry decides."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import ConfigurationError
from ..access import one_or_more

__all__ = ["Limits", "holds"]

_SETTINGS = "spawner_override"
_BEFORE = "_doorward_before"


def _are_names(wanted: object) -> bool:
    if isinstance(wanted, str):
        return True
    return isinstance(wanted, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in wanted)


def _are_roles(wanted: object) -> bool:
    return isinstance(wanted, Mapping) and all(map(_are_names, wanted.values()))


def _some(wanted: str | Iterable[str], has: Iterable[str]) -> bool:
    return not frozenset(one_or_more(wanted)).isdisjoint(has)


def _some_role(wanted: Mapping[str, str | Iterable[str]], has: Mapping[str, Iterable[str]]) -> bool:
    return any(_some(roles, has.get(client, ())) for client, roles in wanted.items())


_KEYS: Mapping[str, Any] = {
    "users": lambda wanted, name, about: _some(wanted, [name]),
    "roles": lambda wanted, name, about: _some(wanted, about.get("roles", ())),
    "groups": lambda wanted, name, about: _some(wanted, about.get("groups", ())),
    "client_roles": lambda wanted, name, about: _some_role(wanted, about.get("client_roles", {})),
}


def holds(key: str, wanted: Any, name: str, about: Mapping[str, Any]) -> bool:
    """True if a person is one of those wanted.

    Args:
        key: ``users``, ``roles``, ``groups`` or ``client_roles``.
        wanted: names of which one is enough; for ``client_roles`` by client.
        name: the person's name at the hub.
        about: what is known of the person: ``roles``, ``groups``, ``client_roles``.
    """
    return bool(_KEYS[key](wanted, name, about))


def _wrong(entry: Mapping[str, Any]) -> str | None:
    if unknown := set(entry) - {_SETTINGS, *_KEYS}:
        return f"unknown {', '.join(sorted(unknown))}"
    if not isinstance(entry.get(_SETTINGS), Mapping):
        return f"missing {_SETTINGS}"
    for key in _KEYS:
        if key in entry and not (_are_roles if key == "client_roles" else _are_names)(entry[key]):
            return f"invalid {key} {entry[key]!r}: not names"
    return None


class Limits:
    """Settings of people's servers.

    Each entry is a mapping: ``users``, ``roles``, ``groups`` and ``client_roles`` select people, and ``spawner_override`` says what to
    set on their spawner: any of its traits, like ``cpu_limit``, ``mem_limit``, ``image``, ``profile_list``. Of the keys that are given
    every one must fit, within a key any value does, as in the gateway's rules. An entry without such a key is for everyone. The first
    entry that fits decides; a person that none fits gets no server.

    Raises:
        ConfigurationError: if an entry has another form.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        for entry in entries:
            if wrong := _wrong(entry):
                raise ConfigurationError(
                    f"invalid entry of limits: {wrong}",
                    field="limits",
                    remedy=f"write {{'roles': [...], '{_SETTINGS}': {{'cpu_limit': 2}}}}; people by {', '.join(_KEYS)}",
                )
        self._entries = entries

    def __bool__(self) -> bool:
        return bool(self._entries)

    def of(self, name: str, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The settings for a person; ``None`` if no entry fits."""
        for entry in self._entries:
            if all(holds(key, entry[key], name, about) for key in _KEYS if key in entry):
                settings: Mapping[str, Any] = entry[_SETTINGS]
                return settings
        return None


def give(spawner: Any, settings: Mapping[str, Any]) -> None:
    """Set a spawner's traits; those that were set for an earlier start are reset first.

    A dictionary is merged into the one that is there.

    Raises:
        ConfigurationError: if the spawner has no such trait.
    """
    unknown = [name for name in settings if not spawner.has_trait(name)]
    if unknown:
        kind = type(spawner).__name__
        raise ConfigurationError(
            f"{kind} has no {', '.join(unknown)}",
            field="limits",
            remedy=f"set traits of {kind} only",
        )
    before: dict[str, Any] = spawner.__dict__.setdefault(_BEFORE, {})
    form_changes = "profile_list" in before or "profile_list" in settings
    while before:
        name, value = before.popitem()
        setattr(spawner, name, value)
    for name, value in settings.items():
        present = getattr(spawner, name)
        before[name] = present
        merged = isinstance(value, Mapping) and isinstance(present, Mapping)
        setattr(spawner, name, {**present, **value} if merged else copy.copy(value))
    if form_changes and "options_form" not in settings:
        _renew_form(spawner)


def _renew_form(spawner: Any) -> None:
    """KubeSpawner makes its form of the profiles once, unless there is a form in the configuration."""
    configured = any(
        "options_form" in spawner.config.get(kind.__name__, {}) for kind in type(spawner).__mro__
    )
    if not configured:
        spawner.options_form = spawner.trait_defaults("options_form")
