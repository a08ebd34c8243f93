"""Sign in at this machine, and stay signed in for `token`.

By the browser (RFC 8252), or by a code typed elsewhere (RFC 8628).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

from .account import (
    account,
    add_ca_file,
    add_credential,
    add_issuer,
    check_credential,
    duration,
    find,
    has_credential,
    settings_of,
    variable,
)
from .terminal import good, label, moment, say, shown, strong


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of the program's command."""
    add_issuer(flags)
    scope = "what the login may be used for, beside `openid`; several, or with spaces between them"
    flags.add_argument("--scope", action="append", metavar="SCOPE", help=scope)
    flags.add_argument("--device", action="store_true", help="sign in with another device: a code is shown, to be typed on a page there")
    flags.add_argument("--no-browser", action="store_true", help="do not open the browser, only say which page to open")
    where = flags.add_mutually_exclusive_group()
    port = "the port of the redirect URI http://127.0.0.1:PORT/callback; a free one unless set"
    where.add_argument("--port", type=int, metavar="PORT", help=port)
    where.add_argument("--redirect-uri", metavar="URL", help="another redirect URI of this machine, as it is registered")
    flags.add_argument("--wait", type=duration, default=300.0, metavar="TIME", help="how long to wait for the browser [5m]")
    add_credential(flags)
    add_ca_file(flags)


def run(given: argparse.Namespace) -> int:
    """Signs in and says who is signed in until when."""
    check_credential(given)
    if given.device and (given.port or given.redirect_uri):
        given.parser.error("--device needs neither --port nor --redirect-uri")
    issuer, client_id, settings = _complete(given)
    client = account(issuer, client_id, settings)
    asked = given.scope or [variable("DOORWARD_SCOPE") or "profile email"]
    scopes = [word for words in asked for word in words.split()]
    if given.device:
        waiting = client.begin_device(scopes)
        say(f"On any device, open\n\n  {strong(waiting.url)}\n\nand type the code\n\n  {strong(waiting.user_code or '')}\n")
        if waiting.complete_url:
            say(f"or open this link and compare the code:\n\n  {strong(waiting.complete_url)}\n")
        if waiting.expires_at:
            say(label(f"The code ends {moment(waiting.expires_at)}."))
    else:
        redirect_uri = given.redirect_uri or (f"http://127.0.0.1:{given.port}/callback" if given.port is not None else None)
        waiting = client.begin_browser(scopes, redirect_uri)
        opened = not given.no_browser and _open(waiting.url)
        what = "Your browser opens this page; if not, open it yourself" if opened else "Open this page in a browser on this machine"
        say(f"{what}:\n\n  {strong(waiting.url)}\n")
        if not opened:
            say("The browser is on another machine? `python -m doorward login --device` needs none here.")
    _tell(waiting.finish(given.wait, settings))
    return 0


def _complete(given: argparse.Namespace) -> tuple[str, str, dict[str, str]]:
    """Settings of the last login, where a new one does not give its own."""
    named = bool(given.issuer and given.client_id)
    try:
        last = find(given)
    except ValueError:
        # What cannot be read is about to be replaced.
        if not named:
            raise
        last = None
    settings = settings_of(given)
    if last is not None:
        kept: dict[str, str] = last["settings"]
        if not has_credential(given):
            settings = {**kept, **settings}
        elif "ca_file" in kept:
            settings.setdefault("ca_file", kept["ca_file"])
    issuer: str = given.issuer or (last or {}).get("issuer", "")
    client_id: str = given.client_id or (last or {}).get("client_id", "")
    if not issuer or not client_id:
        given.parser.error("say where and as what: --issuer URL --client-id ID")
    return issuer, client_id, settings


def _open(url: str) -> bool:
    """Starts the browser without waiting for it; true if it started."""
    there = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    program = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        if there:
            quiet = subprocess.DEVNULL
            subprocess.Popen([program, url], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        return there
    except OSError:
        return False


def _tell(facts: dict[str, Any]) -> None:
    who = strong(shown(facts["name"] or facts["subject"]))
    say(f"{good('Signed in')} as {who} at {facts['issuer']} with the client {facts['client_id']}.")
    if facts["renews"]:
        until = facts["refresh_expires_at"]
        more = f"; unused, the login ends {moment(until)}." if until else " until the issuer ends the login."
        say(f"`python -m doorward token` gives fresh tokens{more}")
    else:
        ends = facts["access_expires_at"]
        say(
            f"The issuer gave no refresh token: the login ends {moment(ends) if ends else 'with its access token'}. Ask for one with "
            "--scope offline_access, or allow it for this client."
        )
