"""The example of a FastAPI service, behind a real server, asked by schemathesis everything its OpenAPI allows and much that it does not.

Among its checks: no answer that OpenAPI does not announce, nothing served to a caller that leaves the token out or makes one up.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward.testing import Issuer

from .conftest import served

EXAMPLE = Path(__file__).parents[3] / "examples/python/churn_api.py"

# uvicorn's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    with Issuer(algorithm="EdDSA", token_lifetime=3600) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def churn(provider: Issuer) -> Iterator[str]:
    """URL at which it listens."""
    spec = importlib.util.spec_from_file_location("churn_api", EXAMPLE)
    assert spec and spec.loader
    example: Any = importlib.util.module_from_spec(spec)
    sys.modules["churn_api"] = example
    spec.loader.exec_module(example)
    with served(example.churn_api(provider.verifier("churn"))) as url:
        yield url


def test_schemathesis_finds_nothing(provider: Issuer, churn: str, tmp_path: Path) -> None:
    token = provider.mint("alice", audience="churn", roles=["ml-admin"], expires_in=3600)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{churn}/openapi.json", "--header", f"Authorization: Bearer {token}"]
    bounds = ["--max-examples", "40", "--seed", "1", "--no-color", "--generation-database", "none"]
    done = subprocess.run([*command, *bounds], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.parametrize(
    ("status", "wrong"),
    [
        (401, {"expired": True}),
        (401, {"audience": "another"}),
        (401, {"wrong_key": True}),
        (401, {"unsigned": True}),
        (401, {"hmac_with_public_key": True}),
        (403, {"roles": ["guest"]}),
    ],
)
def test_a_bad_token_is_refused_by_every_operation(provider: Issuer, churn: str, status: int, wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"audience": "churn", "roles": ["ml-admin"], **wrong}
    headers = {"Authorization": f"Bearer {provider.mint('alice', **options)}"}
    for method, path in [("POST", "/score"), ("GET", "/model"), ("PUT", "/model/threshold")]:
        answer = httpx.request(method, churn + path, headers=headers)
        assert (answer.status_code, "www-authenticate" in answer.headers) == (status, True)


def test_the_example_works_as_described(provider: Issuer, churn: str) -> None:
    scorer = {"Authorization": f"Bearer {provider.mint('bob', audience='churn', roles=['scorer'])}"}
    answer = httpx.post(f"{churn}/score", headers=scorer, json={"months": 10, "bill": 99})
    assert answer.json() == {"probability": 0.495, "asked_by": "bob"}
    assert httpx.put(f"{churn}/model/threshold", headers=scorer, json={"probability": 0.7}).status_code == 403
