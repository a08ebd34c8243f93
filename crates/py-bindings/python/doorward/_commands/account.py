"""The client and the issuer of a command: its flags, its credential, and the logins kept on this machine."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import Issuer, LoginNeeded
from .._native import Account, kept_logins

PATIENCE = 15.0
"""Seconds that a command waits for one answer of the issuer."""

_FILES = ["client_secret_file", "client_assertion_file", "private_key_file", "client_certificate"]
_SETTINGS = [*_FILES, "client_key", "client_secret_method", "private_key_id", "private_key_algorithm"]
_PATHS = [*_FILES, "client_key", "ca_file"]


def variable(name: str) -> str | None:
    """A variable of the environment that is set and not empty."""
    return os.environ.get(name) or None


def several(name: str) -> list[str]:
    """The one value that the environment has for a flag that may be given often."""
    value = variable(name)
    return [value] if value else []


def duration(text: str) -> float:
    """Seconds, from ``30s``, ``5m`` or ``1h 30m``."""
    units = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86_400, "day": 86_400, "days": 86_400}
    parts = re.findall(r"\s*(\d+)\s*([a-z]+)", text)
    if not parts or "".join(f"{n}{unit}" for n, unit in parts) != re.sub(r"\s", "", text) or any(u not in units for _, u in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30s or 5m")
    return sum(int(number) * units[unit] for number, unit in parts)


def add_issuer(flags: argparse.ArgumentParser) -> None:
    """Flags for the issuer and the client."""
    flags.add_argument("--issuer", metavar="URL", default=variable("DOORWARD_ISSUER"), help="the issuer, as its tokens have it in `iss`")
    client = variable("DOORWARD_CLIENT_ID")
    flags.add_argument("--client-id", metavar="ID", default=client, help="what this program is called at the issuer")


def add_ca_file(flags: argparse.ArgumentParser) -> None:
    """Flag for the certificates to trust."""
    only = "PEM file with the only certificates to trust, instead of the system's"
    flags.add_argument("--ca-file", metavar="FILE", default=variable("DOORWARD_CA_FILE"), help=only)


def add_credential(flags: argparse.ArgumentParser) -> None:
    """Flags for the client's credential; a public client has none."""

    def add(flag: str, metavar: str, meaning: str, named: str | None = None) -> None:
        flags.add_argument(flag, metavar=metavar, default=variable(named) if named else None, help=meaning)

    add("--client-secret-file", "FILE", "a file with the client's secret", "DOORWARD_CLIENT_SECRET_FILE")
    flags.add_argument("--client-secret-method", choices=["basic", "post", "jwt"], help="how the secret is sent")
    add("--client-assertion-file", "FILE", "a file with an assertion that the platform keeps fresh", "DOORWARD_CLIENT_ASSERTION_FILE")
    add("--private-key-file", "FILE", "a file with the client's private key, PEM or JWK", "DOORWARD_PRIVATE_KEY_FILE")
    add("--private-key-id", "KID", "the key's `kid` at the issuer, for a key in PEM", "DOORWARD_PRIVATE_KEY_ID")
    add("--private-key-algorithm", "ALG", "what the key signs with, for a key in PEM")
    add("--client-certificate", "FILE", "a PEM file with the client's certificate", "DOORWARD_CLIENT_CERTIFICATE")
    add("--client-key", "FILE", "a PEM file with the certificate's key", "DOORWARD_CLIENT_KEY")


def check_credential(given: argparse.Namespace) -> None:
    """Ends the program, as any wrong usage does, where flags contradict each other."""
    if len([name for name in _FILES if getattr(given, name)]) > 1:
        given.parser.error("a client proves itself in one way: give one credential")
    if bool(given.client_certificate) != bool(given.client_key):
        given.parser.error("--client-certificate and --client-key belong together")
    if given.client_secret_method and not given.client_secret_file:
        given.parser.error("--client-secret-method needs --client-secret-file")
    if (given.private_key_id or given.private_key_algorithm) and not given.private_key_file:
        given.parser.error("--private-key-id and --private-key-algorithm need --private-key-file")


def has_credential(given: argparse.Namespace) -> bool:
    """True if the client has a credential."""
    return any(getattr(given, name) for name in _FILES)


def secret_file(given: argparse.Namespace) -> str | None:
    """The file that only the client has."""
    files = (given.client_secret_file, given.client_assertion_file, given.private_key_file, given.client_key)
    return next((file for file in files if file), None)


def settings_of(given: argparse.Namespace) -> dict[str, str]:
    """Settings of a login: the path of its credential, never the credential itself."""
    named = {name: getattr(given, name, None) for name in ["ca_file", *_SETTINGS]}
    return {name: os.path.abspath(value) if name in _PATHS else value for name, value in named.items() if value}


def folder() -> Path:
    """Folder in which logins are kept: ``$XDG_STATE_HOME/doorward/logins``, or below ``~/.local/state``."""
    state = directory("XDG_STATE_HOME", ".local/state")
    if state is None:
        raise OSError("there is no place to keep logins: set HOME, or XDG_STATE_HOME to an absolute path")
    return state / "doorward/logins"


def directory(name: str, beneath_home: str) -> Path | None:
    """A folder by the XDG Base Directory Specification; paths that are not absolute are to be ignored."""
    home = os.environ.get("HOME", "")
    candidates = [os.environ.get(name, ""), os.path.join(home, beneath_home) if os.path.isabs(home) else ""]
    return next((Path(path) for path in candidates if os.path.isabs(path)), None)


def find(given: argparse.Namespace) -> dict[str, Any] | None:
    """The login that is meant: the last one of this issuer and client, where they are named."""
    found = kept_logins(folder(), given.issuer, given.client_id)
    return found[0] if found else None


def choose(given: argparse.Namespace) -> dict[str, Any]:
    """The same.

    Raises:
        LoginNeeded: if there is none.
    """
    found = find(given)
    if found is None:
        at = f" at {given.issuer}" if given.issuer else ""
        client = f" with the client {given.client_id}" if given.client_id else ""
        raise LoginNeeded(f"nobody is signed in{at}{client}: run `{login_command(given.issuer, given.client_id)}`")
    return found


def login_command(issuer: str | None, client_id: str | None) -> str:
    """The command that signs in."""
    return f"python -m doorward login --issuer {issuer or 'URL'} --client-id {client_id or 'ID'}"


def account(issuer: str, client_id: str, settings: Mapping[str, str]) -> Account:
    """The client with this credential, or with what a login remembers."""
    certificate = settings.get("client_certificate")
    method = settings.get("client_secret_method")
    return Account(
        Issuer(issuer, ca_file=settings.get("ca_file"), timeout=PATIENCE),
        client_id,
        folder(),
        secret_file=settings.get("client_secret_file"),
        private_key_file=settings.get("private_key_file"),
        key_id=settings.get("private_key_id"),
        key_algorithm=settings.get("private_key_algorithm"),
        assertion_file=settings.get("client_assertion_file"),
        certificate=(certificate, settings["client_key"]) if certificate else None,
        method=f"client_secret_{method}" if method else None,
    )
