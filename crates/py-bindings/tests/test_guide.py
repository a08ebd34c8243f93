"""The lines of docs/guides/python.md, run as they stand there, against an issuer of this process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi.testclient
import pytest

import doorward
from doorward.testing import Issuer

GUIDE = Path(__file__).parents[3] / "docs/guides/python.md"
LINES: list[str] = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def lines(with_text: str) -> str:
    found = [block for block in LINES if with_text in block]
    assert len(found) == 1, f"{len(found)} blocks of the guide have {with_text!r}"
    return found[0]


@pytest.fixture
def names(issuer: Issuer, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the lines know: the issuer here instead of the one in the guide."""
    issuer.add_client("airflow-run", "secret", scopes=["score"], audience="churn")
    yield {"doorward": doorward, "issuer": doorward.Issuer(issuer.url)}


def run(block: str, names: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "airflow").write_text("secret")
    exec(compile(block.replace("/run/secrets/airflow", str(tmp_path / "airflow")), str(GUIDE), "exec"), names)
    return names


def test_nothing_is_asked_when_an_issuer_is_made(tmp_path: Path) -> None:
    names = run(lines('doorward.Issuer("https://keycloak.example'), {}, tmp_path)
    assert names["issuer"].url == "https://keycloak.example/realms/platform"


def test_a_token_is_verified(issuer: Issuer, names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names["token"] = issuer.mint("alice", audience="churn", roles=["data-scientist"])
    run(lines("except doorward.TokenExpired"), names, tmp_path)
    assert "alice frozenset({'data-scientist'})" in capsys.readouterr().out
    names["token"] = issuer.mint("alice", audience="churn", expired=True)
    run(lines("except doorward.TokenExpired"), names, tmp_path)
    assert capsys.readouterr().out.startswith("expired get a fresh token")


@pytest.mark.filterwarnings("ignore")
def test_an_api(issuer: Issuer, names: dict[str, Any], tmp_path: Path) -> None:
    # In a program of its own: FastAPI reads annotations where the function was defined.
    names["__name__"] = "guide"
    app = run(lines("from doorward.fastapi import Bearer"), names, tmp_path)["app"]
    with fastapi.testclient.TestClient(app) as api:
        good = issuer.mint("alice", audience="churn", roles=["scorer"], claims={"sub": "a1"})
        assert api.get("/score", headers={"Authorization": f"Bearer {good}"}).json() == {"hello": "a1"}
        assert api.get("/score").status_code == 401


def test_a_fork(issuer: Issuer, names: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "airflow").write_text("secret")
    block = lines("os.fork()").replace("/run/secrets/airflow", str(tmp_path / "airflow"))
    program = f"import doorward\nissuer = doorward.Issuer({issuer.url!r})\n{block}"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert issuer.requests("token") == 2


def test_a_job(issuer: Issuer, names: dict[str, Any], tmp_path: Path) -> None:
    tokens = run(lines('tokens = issuer.client_credentials("airflow-run"'), names, tmp_path)["tokens"]
    assert "score" in issuer.verifier("churn").verify(tokens.token()).scopes


def test_every_line_is_python() -> None:
    for block in LINES:
        compile(block, str(GUIDE), "exec")
