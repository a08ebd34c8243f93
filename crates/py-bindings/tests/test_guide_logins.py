"""The lines of docs/guides/python-logins.md and python-troubles.md, run as printed, against an issuer of this process."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import doorward
from doorward.testing import Issuer

from .guide import Page

LOGINS, TROUBLES = Page("python-logins.md"), Page("python-troubles.md")
CALLBACK = "https://portal.example/callback"


@pytest.fixture
def names(issuer: Issuer, tmp_path: Path) -> dict[str, Any]:
    """Names of the first block, with the issuer here instead of the one in the guide."""
    issuer.add_client("portal", "secret", redirect_uri=CALLBACK, audience="portal")
    issuer.add_user("alice", subject="a1")
    secret = tmp_path / "portal"
    secret.write_text("secret")
    names: dict[str, Any] = {}
    instead = {"https://keycloak.example/realms/platform": issuer.url, "/run/secrets/portal": str(secret)}
    LOGINS.run(LOGINS.block("client = doorward.Client("), names, instead)
    return names


def test_a_person_signs_in_stays_and_signs_out(issuer: Issuer, names: dict[str, Any]) -> None:
    for lines in ("def begin(", "def refresh(", "def sign_out("):
        LOGINS.run(LOGINS.block(lines), names)
    session: dict[str, Any] = {}
    came_back = urlsplit(issuer.sign_in(names["begin"](session), "alice"))
    session = json.loads(json.dumps(session))
    assert names["callback"](session, came_back.query) == "alice"
    assert session["person"] == (issuer.url, "a1") and "login" not in session
    first = session["tokens"]["access_token"]
    assert names["refresh"](session) != first
    kept = session["tokens"]["refresh_token"]
    url = names["sign_out"](session)
    assert url.startswith(issuer.url) and "id_token_hint=" in url
    with pytest.raises(doorward.TokenRequestRefused):
        names["client"].refresh(kept, subject="a1")


def test_an_opaque_token(issuer: Issuer, names: dict[str, Any]) -> None:
    LOGINS.run(LOGINS.block("introspecting_verifier"), names)
    issuer.add_client("batch", "secret", opaque_access_tokens=True, audience="portal")
    opaque = doorward.Issuer(issuer.url).client_credentials("batch", secret="secret").token()
    assert names["who"](opaque)
    assert names["who"](issuer.mint("alice", audience="portal")) == "a1"


def test_several_issuers(issuer: Issuer, names: dict[str, Any]) -> None:
    with Issuer(realm="partner") as partner:
        LOGINS.run(LOGINS.block("any_of"), names, {"https://id.partner.example": partner.url})
        assert names["either"].verify(issuer.mint(audience="churn")).issuer == issuer.url
        theirs = partner.mint(audience="churn-api", header={"typ": "at+jwt"}, claims={"client_id": "client"})
        assert names["either"].verify(theirs).issuer == partner.url
        with pytest.raises(doorward.WrongTokenType):
            names["either"].verify(partner.mint(audience="churn-api"))


def test_an_error_is_explained(issuer: Issuer) -> None:
    names: dict[str, Any] = {}
    TROUBLES.run(TROUBLES.block("def explain("), names)
    code, text, remedy = names["explain"](issuer.verifier("churn"), issuer.mint(audience="elsewhere"))
    assert code == "wrong_audience" and "elsewhere" in text and "verifier(audience=" in remedy


def test_a_token_is_looked_at(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    TROUBLES.run(TROUBLES.block("doorward.unverified("), {"doorward": doorward, "token": issuer.mint(audience="churn")})
    assert capsys.readouterr().out.startswith(f"RS256 {issuer.url} churn")


def test_the_log_is_turned_on() -> None:
    logger = logging.getLogger("doorward")
    try:
        TROUBLES.run(TROUBLES.block("basicConfig"), {})
        assert logger.getEffectiveLevel() == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)


def test_every_block_is_run() -> None:
    shown = ("client = doorward.Client(", "def begin(", "def refresh(", "def sign_out(", "introspecting_verifier", "any_of")
    assert set(map(LOGINS.block, shown)) == set(LOGINS.blocks)
    assert set(map(TROUBLES.block, ("def explain(", "doorward.unverified(", "basicConfig"))) == set(TROUBLES.blocks)
