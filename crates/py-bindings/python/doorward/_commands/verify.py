"""Check a token and print what it says, or which check failed and what to do (exit 0 good, 1 not).

The token itself is never printed.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from datetime import datetime, timezone
from typing import Any

from .. import Claims, InvalidToken, Issuer, IssuerUnavailable
from .account import PATIENCE, add_ca_file, duration, several, variable
from .terminal import bad, good, label, moment, say, shown

_LONGEST = 64 * 1024
_TIMES = {"iat": "issued", "nbf": "good from", "exp": "expires", "auth_time": "signed in"}
_TEXTS = {"iss": "issuer", "sub": "subject", "preferred_username": "user name", "name": "name", "email": "email"}
_LATER = {"acr": "strength", "sid": "session", "jti": "token id"}
_UNTOLD = {
    *_TIMES, *_TEXTS, *_LATER, "aud", "azp", "client_id", "scope", "realm_access", "resource_access", "groups", "nonce", "typ",
    "email_verified", "given_name", "family_name", "allowed-origins", "session_state",
}  # fmt: skip


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The flags of the program's command."""
    issuer = variable("DOORWARD_ISSUER")
    whose = "the issuer, as its tokens have it in `iss`"
    flags.add_argument("--issuer", metavar="URL", default=issuer, required=issuer is None, help=whose)
    flags.add_argument("--audience", metavar="NAME", action="append", help="whom the token must be for; several are alternatives")
    profile = "how an access token shows that it is one"
    flags.add_argument("--profile", choices=["keycloak", "rfc9068"], default="keycloak", help=profile)
    flags.add_argument("--leeway", type=duration, default=30.0, metavar="TIME", help="how far clocks may differ, at most 5m")
    flags.add_argument("--json", action="store_true", help="print JSON")
    add_ca_file(flags)
    which = flags.add_mutually_exclusive_group(required=True)
    stdin = "the token; `-` reads it from standard input, which keeps it out of the list of processes"
    which.add_argument("token", nargs="?", metavar="TOKEN", help=stdin)
    which.add_argument("--token-file", metavar="FILE", help="a file with the token")


def run(given: argparse.Namespace) -> int:
    """Prints the verdict: 0 when the token is good."""
    audience = given.audience or several("DOORWARD_AUDIENCE")
    if not audience:
        given.parser.error("--audience NAME is needed: whom is the token for?")
    token = _token(given)
    issuer = Issuer(given.issuer, ca_file=given.ca_file, timeout=PATIENCE)
    verifier = issuer.verifier(audience, profile=given.profile, leeway=given.leeway)
    header = {name: _claimed(token, 0).get(name) for name in ("alg", "kid", "typ")}
    try:
        claims = verifier.verify(token)
    except (InvalidToken, IssuerUnavailable) as refusal:
        _refused(given, refusal, header, _claimed(token, 1))
        return 1
    if given.json:
        left = max(0, int(claims.expires_at_epoch - datetime.now(timezone.utc).timestamp()))
        ends = int(claims.expires_at_epoch)
        about = {"subject": claims.subject, "client": claims.client, "expires_at": ends, "expires_in": left}
        say(json.dumps({"valid": True, "header": header, **about, "claims": claims.to_dict()}, indent=2))
    else:
        say(f"{good('valid')} for {', '.join(name for name in verifier.audience if name in claims.audience)}")
        _tell(header, claims)
    return 0


def _refused(
    given: argparse.Namespace, refusal: InvalidToken | IssuerUnavailable, header: dict[str, Any], claimed: dict[str, Any]
) -> None:
    temporary = isinstance(refusal, IssuerUnavailable)
    if given.json:
        why = {"code": refusal.code, "reason": str(refusal), "remedy": refusal.remedy, "temporary": temporary}
        say(json.dumps({"valid": False, **why, "header": header, "unverified_claims": claimed or None}, indent=2))
        return
    say(f"{bad('not verified' if temporary else 'refused')}: {refusal.code}")
    _line("why", shown(str(refusal)))
    _line("what to do", refusal.remedy)
    if claimed:
        say(label("It says of itself, which nothing vouches for:"))
        _tell(header, claimed)


def _token(given: argparse.Namespace) -> str:
    """The token without white space around it and without ``Bearer``, which is easily copied along."""
    if given.token_file:
        with open(given.token_file, encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    else:
        text = sys.stdin.read(_LONGEST + 1) if given.token == "-" else given.token
    if len(text) > _LONGEST:
        raise ValueError(f"what was given is larger than {_LONGEST} bytes: is this a token?")
    token: str = text.strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
    if not token:
        raise ValueError("there is no token: give it as an argument, with --token-file, or as `-` on standard input")
    return token


def _claimed(token: str, part: int) -> dict[str, Any]:
    """A part of a token, read without verification: to show, never to decide."""
    try:
        encoded = token.split(".")[part]
        value = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _tell(header: dict[str, Any], claims: Claims | dict[str, Any]) -> None:
    algorithm, kid, kind = (header[name] for name in ("alg", "kid", "typ"))
    if algorithm:
        _line("signed with", shown(f"{algorithm}{f', key {kid}' if kid else ''}{f', type {kind}' if kind else ''}"))
    for claim, what in _TEXTS.items():
        known = "" if claim != "email" else " (verified)" if claims.get("email_verified") is True else " (not verified)"
        _text(what, claims.get(claim), known)
    _text("client", claims.get("client_id", claims.get("azp")))
    _list("audience", claims.get("aud"))
    for claim, what in _TIMES.items():
        time = claims.get(claim)
        if isinstance(time, (int, float)) and 0 <= time < 253_402_300_800:
            _line(what, moment(datetime.fromtimestamp(time, timezone.utc)))
    for claim, what in _LATER.items():
        _text(what, claims.get(claim))
    scope = claims.get("scope")
    _list("scopes", scope.split() if isinstance(scope, str) else None)
    _list("roles", _roles(claims.get("realm_access")))
    at_clients = claims.get("resource_access")
    for client, roles in at_clients.items() if isinstance(at_clients, dict) else ():
        _list(f"roles at {shown(client)}", _roles(roles))
    _list("groups", claims.get("groups"))
    for claim in claims:
        if claim not in _UNTOLD:
            value = claims[claim]
            _line(shown(claim), shown(value if isinstance(value, str) else json.dumps(value)))


def _roles(access: object) -> object:
    return access.get("roles") if isinstance(access, dict) else None


def _text(what: str, value: object, more: str = "") -> None:
    if isinstance(value, str):
        _line(what, shown(value) + more)


def _list(what: str, values: object) -> None:
    listed = [values] if isinstance(values, str) else values
    if isinstance(listed, list) and listed:
        _line(what, ", ".join(shown(str(value)) for value in listed))


def _line(what: str, text: object) -> None:
    say(f"  {label(f'{what:<12}')} {text}")
