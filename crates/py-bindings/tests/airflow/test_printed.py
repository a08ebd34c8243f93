"""The task of Airflow on the page of the package, and how it does with older versions of Airflow."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.sdk.log
import pytest
from doorward.airflow import DoorwardHook
from doorward.testing import Issuer

from ..conftest import Api
from ..guide import Page

README = Page("README.md", "crates/py-bindings")


@pytest.fixture(autouse=True)
def connected(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret\n")
    extra = {"secret_file": str(tmp_path / "secret"), "cache_dir": "none"}
    connection = {"conn_type": "doorward", "host": issuer.url, "login": "client", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DOORWARD_DEFAULT", json.dumps(connection))


def test_the_task_of_the_package_page(issuer: Issuer, api: Api) -> None:
    names: dict[str, Any] = {}
    README.run(README.block("DoorwardHook"), names, {"https://churn.example": api.url})
    assert names["score"].function(7) == "welcome"
    assert [seen.path for seen in api.seen] == ["/score/7"]
    assert issuer.requests("token") == 1


def test_a_trigger_gets_a_token(issuer: Issuer) -> None:
    assert asyncio.run(DoorwardHook().token_async()) == DoorwardHook().token()
    assert issuer.requests("token") == 1


def test_a_trigger_of_airflow_3_1_gets_a_token(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    connection = DoorwardHook.get_connection("doorward_default")
    old = SimpleNamespace(host=connection.host, login=connection.login, password=None, extra_dejson=connection.extra_dejson)

    async def aget_connection(conn_id: str) -> Any:
        return old

    monkeypatch.delattr(airflow.sdk.log, "amask_secret", raising=False)
    monkeypatch.setattr(DoorwardHook, "aget_connection", staticmethod(aget_connection))
    assert asyncio.run(DoorwardHook().token_async()) == DoorwardHook().token()
    assert issuer.requests("token") == 1
