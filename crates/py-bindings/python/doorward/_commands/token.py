"""Print a fresh access token: yours after `login`, or a machine's by its credential (exit 4 when a login is needed).

The token goes where it is asked to go and nowhere else. Tokens of machines and exchanged ones are shared among runs, so that 1,000
short jobs make one request.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from .. import DoorwardError, LoginNeeded
from .._native import AccountTokens
from .account import (
    account,
    add_ca_file,
    add_credential,
    add_issuer,
    check_credential,
    choose,
    directory,
    has_credential,
    login_command,
    secret_file,
    settings_of,
    several,
    variable,
)
from .terminal import moment, say, warn

_LARGEST_KEY = 64 * 1024
_LONGEST_WORK = 10.0


class Given(NamedTuple):
    """A token as it came."""

    text: str
    kind: str
    expires_at: datetime | None

    def left(self) -> float | None:
        """Seconds until it ends, if that is known."""
        if self.expires_at is None:
            return None
        return max(0.0, (self.expires_at - datetime.now(timezone.utc)).total_seconds())


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of the program's command."""
    add_issuer(flags)
    add_credential(flags)

    def often(flag: str, metavar: str, meaning: str) -> None:
        flags.add_argument(flag, action="append", metavar=metavar, help=meaning)

    often("--scope", "SCOPE", "what the token may be used for; several, or with spaces between them")
    often("--audience", "NAME", "whom the token is for; for a person the login's token is exchanged (RFC 8693)")
    often("--resource", "URL", "the service the token is for, as a URL (RFC 8707)")
    flags.add_argument("--no-cache", action="store_true", help="ask the issuer anew, and share nothing with other runs")
    add_ca_file(flags)
    form = flags.add_mutually_exclusive_group()
    form.add_argument("--header", action="store_true", help="print `Authorization: Bearer …`")
    form.add_argument("--json", action="store_true", help='print {"access_token", "expires_in", "token_type"}')
    form.add_argument("--kubernetes", action="store_true", help="print an ExecCredential, for `exec` in a kubeconfig")
    form.add_argument("--exec", action="store_true", help="run the command after `--` with the token in its environment")
    form.add_argument("--file", metavar="FILE", help="write the token to this file, which only this user can read")
    often("--env", "NAME", "the variable that holds the token for --exec [DOORWARD_TOKEN]")
    flags.add_argument("--watch", action="store_true", help="keep the file fresh until a signal comes")


def run(given: argparse.Namespace) -> int:
    """Prints the token, or gives it to a file or a program."""
    check_credential(given)
    _check(given)
    tokens = _of_machine(given) if has_credential(given) else _of_person(given)
    if given.watch:
        return _keep_fresh(tokens, Path(given.file))
    token = _fresh(tokens, given)
    if given.exec:
        _become(given.command, {**os.environ, **dict.fromkeys(given.env or ["DOORWARD_TOKEN"], token.text)})
    if given.file:
        _replace(Path(given.file), token.text)
    elif given.json:
        left = token.left()
        answer = {"access_token": token.text, "expires_in": None if left is None else int(left), "token_type": token.kind}
        say(json.dumps(answer, separators=(",", ":")))
    elif given.kubernetes:
        say(json.dumps(_exec_credential(token), separators=(",", ":")))
    else:
        say(f"Authorization: {token.kind} {token.text}" if given.header else token.text)
    return 0


def _become(command: list[str], environment: dict[str, str]) -> None:
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        # It names the last place where the command was looked for.
        raise OSError(f"{command[0]} cannot be run: {error.strerror}") from error


def _check(given: argparse.Namespace) -> None:
    if given.exec and not given.command:
        given.parser.error("--exec needs a command: --exec -- COMMAND ARGUMENTS")
    if not given.exec and (given.command or given.env):
        given.parser.error("a command and --env are for --exec")
    if any(not name or "=" in name or "\0" in name for name in given.env or ()):
        given.parser.error("--env takes the name of a variable, without `=`")
    if given.watch and not given.file:
        given.parser.error("--watch needs --file")


def _asked(given: argparse.Namespace) -> tuple[str | None, list[str], list[str]]:
    words = given.scope or several("DOORWARD_SCOPE")
    scope = " ".join(word for text in words for word in text.split())
    return scope or None, given.audience or several("DOORWARD_AUDIENCE"), given.resource or several("DOORWARD_RESOURCE")


def _of_machine(given: argparse.Namespace) -> AccountTokens:
    if not given.issuer or not given.client_id:
        given.parser.error("a credential belongs to a client: --issuer URL --client-id ID")
    scope, audience, resource = _asked(given)
    if len(audience) > 1:
        given.parser.error("a machine's token is asked for one --audience at a time")
    shared, seal = (None, None) if given.no_cache else _shared(secret_file(given))
    client = account(given.issuer, given.client_id, settings_of(given))
    only = audience[0] if audience else None
    return client.machine_tokens(scope=scope, audience=only, resource=resource, directory=shared, seal=seal)


def _of_person(given: argparse.Namespace) -> AccountTokens:
    facts = choose(given)
    given.issuer, given.client_id = facts["issuer"], facts["client_id"]
    settings = {**facts["settings"], **settings_of(given)}
    scope, audience, resource = _asked(given)
    exchanged = bool(scope or audience or resource)
    shared = _shared(None)[0] if exchanged and not given.no_cache else None
    client = account(given.issuer, given.client_id, settings)
    return client.person_tokens(scope=scope, audience=audience, resource=resource, directory=shared)


def _shared(credential: str | None) -> tuple[Path | None, str | None]:
    """Folder in which runs share tokens, and its key: in memory, or on disk under a key made from the client's own credential."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime, "doorward"), None
    cache = directory("XDG_CACHE_HOME", ".cache")
    if credential and cache is not None:
        try:
            with open(credential, "rb") as file:
                return cache / "doorward/tokens", hashlib.sha256(file.read(_LARGEST_KEY)).hexdigest()
        except OSError:
            pass
    warn(
        "this token is not shared with other runs, so each asks the issuer: set XDG_RUNTIME_DIR to a folder of this user alone (a "
        "session of systemd does), or pass --no-cache to mean it"
    )
    return None, None


def _fresh(tokens: AccountTokens, given: argparse.Namespace) -> Given:
    try:
        with _undisturbed():
            return Given(*tokens.token())
    except LoginNeeded as error:
        raise LoginNeeded(f"{error}: run `{login_command(given.issuer, given.client_id)}`") from None


def _exec_credential(token: Given) -> dict[str, Any]:
    """The answer to client-go (Kubernetes, client.authentication.k8s.io), in the version it asks for."""
    try:
        asked = json.loads(os.environ.get("KUBERNETES_EXEC_INFO", "{}")).get("apiVersion")
    except (ValueError, AttributeError):
        asked = None
    ends = f"{token.expires_at:%Y-%m-%dT%H:%M:%SZ}" if token.expires_at else None
    version = asked or "client.authentication.k8s.io/v1"
    return {"apiVersion": version, "kind": "ExecCredential", "status": {"expirationTimestamp": ends, "token": token.text}}


def _replace(path: Path, text: str) -> None:
    """Writes the file whole or not at all, readable by this user only."""
    handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


@contextmanager
def _undisturbed() -> Iterator[list[int]]:
    """Work that should not be interrupted: an issuer may take a refresh token once only. A signal that comes meanwhile takes effect
    when it has ended, or at the second signal, or after 10 s."""
    heard: list[int] = []

    def note(number: int, _: object) -> None:
        if heard:
            os._exit(128 + heard[0])
        heard.append(number)
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_WORK)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    try:
        yield heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        sys.exit(128 + heard[0])


def _keep_fresh(tokens: AccountTokens, path: Path) -> int:
    """Runs until SIGTERM or SIGINT. While the issuer is down the file keeps its last token; it gives up only if there never was one."""
    stops = [signal.SIGINT, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    held = Given(*tokens.token())
    _replace(path, held.text)
    _note(f"{path} holds a token {_until(held)}")
    failures, wait = 0, _before_replacement(held)
    while signal.sigtimedwait(stops, wait) is None:
        try:
            new = Given(*tokens.token())
            if new.text == held.text:
                left = new.left()
                wait = 30.0 if left is None else min(max(left / 8, 0.1), 5.0)
                continue
            _replace(path, new.text)
            _note(f"{path} was replaced: a token {_until(new)}")
            held, failures, wait = new, 0, _before_replacement(new)
        except (DoorwardError, OSError) as error:
            failures += 1
            wait = min(2.0 ** min(failures - 1, 8), 30.0)
            _note(f"{path} could not be replaced, and is tried again in {wait:.0f} s: {error}")
    return 0


def _before_replacement(token: Given) -> float:
    left = token.left()
    return 30.0 if left is None else max(0.0, left - min(24.0, left * 0.4))


def _until(token: Given) -> str:
    return f"until {moment(token.expires_at)}" if token.expires_at else "whose end the issuer does not tell"


def _note(text: str) -> None:
    """A line about what happened, never the token."""
    print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} doorward token: {text}", file=sys.stderr, flush=True)
