"""The lines of docs/guides/python-clients.md: what they call sees a token, and the issuer is asked once."""

from __future__ import annotations

import asyncio
import gc
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import doorward
from doorward.testing import Issuer

from .conftest import Api
from .guide import Page

PAGE = Page("python-clients.md")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def what_the_lines_leave_open_is_of_this_test() -> Iterator[None]:
    yield
    sys.modules.pop("guide", None)
    gc.collect()


@pytest.fixture
def instead(issuer: Issuer, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand-ins for the names in the guide."""
    (tmp_path / "airflow").write_text("secret")
    origins = dict.fromkeys(["https://churn.internal", "https://data.internal", "https://explain.internal"], api.url)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return {"https://keycloak.example/realms/platform": issuer.url, "/run/secrets": str(tmp_path), **origins}


@pytest.fixture
def names(issuer: Issuer, instead: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Names that the first lines define."""
    issuer.add_client("airflow-run", "secret", scopes=["score"], audience="churn")
    names: dict[str, Any] = {}
    PAGE.run(PAGE.block("import doorward\n"), names, instead)
    assert issuer.requests() == 0
    yield names
    names.clear()


CLIENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "requests.Session()": lambda names: names["answer"].text,
    "httpx.Client(": lambda names: (names["answer"].text, asyncio.run(names["scores"](["a", "b"]))),
    "import aiohttp": lambda names: asyncio.run(names["score"]()),
    "import PoolManager": lambda names: names["answer"].data.decode(),
    "import pandas": lambda names: list(names["scores"].columns),
    "import dask.bag": lambda names: list(names["lines"].compute(scheduler="threads")),
    "import urllib.request": lambda names: names["answer"].read().decode(),
}


@pytest.mark.parametrize("text", CLIENTS)
def test_a_client_sends_the_token(text: str, issuer: Issuer, api: Api, names: dict[str, Any], instead: dict[str, str]) -> None:
    PAGE.run(PAGE.block(text), names, instead)
    assert "welcome" in str(CLIENTS[text](names))
    if "client_id" not in PAGE.block(text):
        assert set(api.tokens) == {names["tokens"].token()}
    assert len(api.tokens) == len(api.seen)
    assert issuer.requests() == 1


def test_headers_are_always_fresh(names: dict[str, Any], instead: dict[str, str]) -> None:
    PAGE.run(PAGE.block("import PoolManager"), names, instead)
    before = names["always_fresh"]["Authorization"]
    names["tokens"].token(rejected=before.removeprefix("Bearer "))
    assert names["always_fresh"]["Authorization"] not in (before, "")
    assert names["always_fresh"]["Accept"] == "application/json"
    PAGE.run(PAGE.block("import urllib.request"), names, instead)
    assert asyncio.run(names["headers_for_a_call"]()) == {"Authorization": names["tokens"].authorization()}


def test_channels_of_grpc(issuer: Issuer, names: dict[str, Any]) -> None:
    PAGE.run(PAGE.block("import grpc"), names)
    for channel in (names["channel"], names["in_the_mesh"]):
        assert channel.unary_unary("/Scores/Score")
        channel.close()

    async def main() -> None:
        async with names["asyncio_channel"]() as channel:
            assert channel.unary_unary("/Scores/Score")

    asyncio.run(main())
    assert issuer.requests() == 0


def test_credentials_other_than_a_secret_in_a_file(
    issuer: Issuer, names: dict[str, Any], instead: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "secret")
    key, public, certificate = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "client.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=job", "-keyout", key, "-out", certificate)
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    certificate.write_text(certificate.read_text() + key.read_text())
    signed, _, _, secret = PAGE.run(PAGE.block("private_key_file="), names, instead)
    assert "score" not in issuer.verifier("churn").verify(secret.token()).scopes
    with pytest.raises(doorward.TokenRequestRefused):
        signed.token()
    issuer.add_client("airflow-run", public_key=public.read_text(), audience="churn")
    (signed, *_) = PAGE.run(PAGE.block("private_key_file="), names, instead)
    assert issuer.verifier("churn").verify(signed.token()).client == "airflow-run"


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def test_a_service_acts_for_its_caller(issuer: Issuer, api: Api, names: dict[str, Any], instead: dict[str, str]) -> None:
    issuer.add_client("explain", "-")
    issuer.add_user("alice")
    alice = issuer.log_in("alice", "airflow-run")["access_token"]
    PAGE.run(PAGE.block("def explain("), names, instead)
    assert [names["explain"](alice).text for _ in range(3)] == ["welcome"] * 3
    (token,) = set(api.tokens)
    claims = issuer.verifier("explain").verify(token)
    assert (claims.username, claims.client) == ("alice", "airflow-run")
    assert issuer.requests() == 1


def test_processes_share_a_token(
    issuer: Issuer, names: dict[str, Any], instead: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tokens = set()
    for _ in range(3):
        PAGE.run(PAGE.block("cache_dir="), names, instead)
        tokens.add(names["shared"].token())
    assert (len(tokens), issuer.requests()) == (1, 1)
    assert stat.S_IMODE((tmp_path / "doorward").stat().st_mode) == 0o700


def test_every_block_is_run() -> None:
    others = ["import doorward\n", "import grpc", "private_key_file=", "def explain(", "cache_dir="]
    assert {PAGE.block(text) for text in [*CLIENTS, *others]} == set(PAGE.blocks)
