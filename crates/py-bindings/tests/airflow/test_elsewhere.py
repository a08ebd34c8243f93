"""The example's tasks with an issuer that another process runs, and whose requests it counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..conftest import Api
from .conftest import Deployment

ISSUER = os.environ.get("DOORWARD_TEST_ISSUER")


@pytest.mark.skipif(ISSUER is None, reason="no other issuer named by DOORWARD_TEST_ISSUER")
def test_ten_tasks_share_one_token(deployment: Deployment, api: Api, tmp_path: Path) -> None:
    settings = {"secret_file": os.environ["DOORWARD_TEST_SECRET_FILE"], "cache_dir": str(tmp_path / "tokens")}
    connection: dict[str, object] = {"conn_type": "doorward", "host": ISSUER, "login": "job", "extra": settings}
    log = deployment.run("scores", connection, CHURN_URL=api.url)
    assert sorted(seen.path for seen in api.seen) == sorted(f"/score/{customer}" for customer in range(10))
    (token,) = set(api.tokens)
    assert token not in log
