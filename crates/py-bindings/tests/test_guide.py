"""The lines of docs/guides/python.md, run as printed, against an issuer of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import doorward
from doorward.testing import Issuer

from .callers import over_asgi
from .conftest import NAME, Api, assertion
from .guide import Page

PAGE = Page("python.md")


@pytest.fixture
def names(issuer: Issuer) -> dict[str, Any]:
    """Names that the lines use: the issuer here instead of the one in the guide."""
    issuer.add_client("airflow-run", "secret", scopes=["score"], audience="churn")
    return {"doorward": doorward, "issuer": doorward.Issuer(issuer.url)}


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "airflow").write_text("secret")
    return {"/run/secrets/airflow": str(tmp_path / "airflow")}


def test_making_an_issuer_sends_no_request() -> None:
    names: dict[str, Any] = {}
    PAGE.run(PAGE.block('doorward.Issuer("https://keycloak.example'), names)
    assert names["issuer"].url == "https://keycloak.example/realms/platform"


def test_a_token_is_verified(issuer: Issuer, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    block = PAGE.block("except doorward.TokenExpired")
    names["token"] = issuer.mint("alice", audience="churn", roles=["data-scientist"])
    PAGE.run(block, names)
    assert "alice frozenset({'data-scientist'})" in capsys.readouterr().out
    names["token"] = issuer.mint("alice", audience="churn", expired=True)
    PAGE.run(block, names)
    assert capsys.readouterr().out.startswith("expired get a fresh token")


def test_a_service(issuer: Issuer, names: dict[str, Any]) -> None:
    PAGE.run(PAGE.block("from doorward.fastapi import Bearer"), names)
    ask = over_asgi(names["app"])
    good = issuer.mint("alice", audience="churn", roles=["scorer"], claims={"sub": "a1"})
    assert ask(("Authorization", f"Bearer {good}"), path="/score").json() == {"hello": "a1"}
    assert ask(path="/score").status_code == 401


@pytest.mark.parametrize("page", ["python.md", "model-apis.md"])
def test_a_service_behind_the_gateway(page: str, signer: Issuer) -> None:
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        claims = scope.get("state", {}).get("claims")
        seen.append(claims and claims.username)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guide = Page(page)
    here = f'{signer.url}", keys_url="{signer.url}/protocol/openid-connect/certs'
    names = {"doorward": doorward, "app": app}
    guide.run(guide.block("import GatewayAuth"), names, {"https://platform.example": here})
    ask = over_asgi(names["app"])
    assert ask((NAME, assertion(signer))).status_code == 204
    assert ask(path="/health").status_code == 204
    assert ask((NAME, assertion(signer, audience="another-route"))).status_code == 401
    assert seen == ["alice", None]


def test_a_job(issuer: Issuer, api: Api, names: dict[str, Any], secret: dict[str, str]) -> None:
    PAGE.run(PAGE.block("tokens = issuer.client_credentials("), names, {**secret, "https://churn.internal": api.url})
    assert names["answer"].text == "welcome"
    (token,) = api.tokens
    assert "score" in issuer.verifier("churn").verify(token).scopes


def test_a_fork(issuer: Issuer) -> None:
    tokens = f'tokens = doorward.Issuer({issuer.url!r}).client_credentials("client", secret="secret")'
    subprocess.run([sys.executable, "-c", f"import doorward\n{tokens}\n{PAGE.block('os.fork()')}"], check=True, timeout=60)
    assert issuer.requests("token") == 2


def test_every_line_is_python() -> None:
    for block in PAGE.blocks:
        compile(block, str(PAGE.path), "exec")
