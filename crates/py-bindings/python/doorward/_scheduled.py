"""A client of an issuer as the configuration of a scheduler writes it: plain texts, most of them left out.

Equal ones are one source of tokens in each process, and the processes of a user share their tokens in a folder. This module reads no
scheduler's configuration and asks no issuer.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from . import ConfigurationError, Issuer, TokenSource

__all__ = ["Client"]

_UNSHARED = "none"

_log = logging.getLogger("doorward")


@dataclass(frozen=True)
class Client:
    """A client at an issuer, its credential and the tokens it asks for; see :meth:`doorward.Issuer.client_credentials`.

    ``scope`` and ``resource`` are words with spaces between. ``cache_dir`` is a folder, ``none``, or left out for the usual one: see
    :func:`_usual_folder`.
    """

    issuer: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    secret_file: str | None = None
    private_key_file: str | None = None
    key_id: str | None = None
    assertion_file: str | None = None
    certificate_file: str | None = None
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    ca_file: str | None = None
    cache_dir: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, object], where: str) -> Client:
        """From settings by their names; an empty one counts as left out.

        Args:
            settings: the settings as written.
            where: names the place in errors, such as ``[doorward]``.

        Raises:
            ConfigurationError: if a setting is unknown or not a text, or a required one is missing.
        """
        names = [known.name for known in fields(cls)]
        given: dict[str, str] = {}
        for name, value in settings.items():
            if name not in names:
                remedy = f"known are {', '.join(names)}"
                raise ConfigurationError(f"{where}: unknown setting {name!r}", code="settings", remedy=remedy)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise ConfigurationError(f"{where}: invalid {name}: not a text", code="settings", remedy=f"write {name} as a text")
            given[name] = value
        for name in ("issuer", "client_id"):
            if name not in given:
                raise ConfigurationError(f"{where}: missing {name}", code="settings", remedy=f"set {name}")
        return cls(**given)

    def wanting(self, *, scope: str | None = None, audience: str | None = None) -> Client:
        """The same client, with another scope or audience where one is given."""
        return replace(self, scope=scope or self.scope, audience=audience or self.audience)

    def tokens(self) -> TokenSource:
        """Its tokens: in one process always the same source. Nothing is requested before a token is wanted.

        Raises:
            ConfigurationError: if the issuer is not an issuer identifier, or not exactly one credential is given.
        """
        known = _sources.get(self)
        # Making one opens no connection, so that threads may make two of which one is kept; a lock might be held at a fork.
        return known or _sources.setdefault(self, self._make())

    def _make(self) -> TokenSource:
        return Issuer(self.issuer, ca_file=self.ca_file).client_credentials(
            self.client_id,
            secret=self.secret,
            secret_file=self.secret_file,
            private_key_file=self.private_key_file,
            key_id=self.key_id,
            assertion_file=self.assertion_file,
            certificate=self.certificate_file,
            scope=self.scope,
            audience=self.audience,
            resource=self.resource.split() if self.resource else None,
            cache_dir=self._folder(),
        )

    def _folder(self) -> str | None:
        if self.cache_dir == _UNSHARED:
            return None
        return self.cache_dir or _usual_folder()


_sources: dict[Client, TokenSource] = {}


def _is_ours(folder: str) -> bool:
    # `sudo`, `su` and containers pass on the variable of another user, or of a session that has ended.
    try:
        found = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _usual_folder() -> str | None:
    """Folder in which processes of this user share tokens: ``$XDG_RUNTIME_DIR/doorward``, as the command ``doorward token`` does, if
    that is a folder of theirs; else ``/dev/shm/doorward-UID``, which is in memory too; else the same under the folder for temporary
    files. ``None`` if that is not a folder of this user alone.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_ours(runtime):
        return os.path.join(runtime, "doorward")
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        memory = tempfile.gettempdir()
    folder = os.path.join(memory, f"doorward-{os.getuid()}")
    # Another user may have made that name before. A folder of this user stays in place: others cannot move it (sticky bit).
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError as error:
        _log.warning("tokens are not shared with other processes: %s", error)
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        _log.warning("tokens are not shared with other processes: %s is not a folder of this user alone; set cache_dir", folder)
        return None
    return folder
