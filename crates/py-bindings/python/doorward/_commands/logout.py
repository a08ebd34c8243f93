"""End a login: the issuer takes the tokens back, this machine forgets them."""

from __future__ import annotations

import argparse

from .._native import kept_logins
from .account import account, add_ca_file, add_issuer, choose, folder, settings_of
from .terminal import say, shown


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of the program's command."""
    add_issuer(flags)
    flags.add_argument("--all", action="store_true", help="end all logins on this machine, whatever is named")
    add_ca_file(flags)


def run(given: argparse.Namespace) -> int:
    """Ends the logins and says so; fine when nothing is left on either side."""
    if given.all or not (given.issuer or given.client_id):
        kept = kept_logins(folder())
        ending = kept if given.all else kept[:1]
    else:
        ending = [choose(given)]
    if not ending:
        say("Nobody is signed in.")
    code = 0
    for facts in ending:
        who = f"{shown(facts['name'] or facts['subject'])} at {facts['issuer']} (client {facts['client_id']})"
        why_not = account(facts["issuer"], facts["client_id"], {**facts["settings"], **settings_of(given)}).end()
        if why_not is None:
            say(f"Signed out {who}.")
            continue
        code = 1
        say(
            f"Forgot the login of {who}, but the issuer did not take the tokens back: {why_not}. They end by themselves; to end them "
            "now, sign out on the issuer's account page."
        )
    return code
