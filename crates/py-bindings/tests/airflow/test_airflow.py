"""The tasks of Airflow share one token, each in a process of its own; the web interface knows what a connection is made of."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from pathlib import Path

import pytest
from airflow.providers_manager import ProvidersManager

import doorward
from doorward.airflow import DoorwardHook
from doorward.testing import Issuer

from ..conftest import Api
from .conftest import HOME, Deployment


def connection(issuer: Issuer, folder: Path, **extra: str | None) -> dict[str, object]:
    """A connection without a secret in Airflow."""
    secret = folder / "secret"
    secret.write_text("secret\n")
    settings = {"secret_file": str(secret), "cache_dir": str(folder / "tokens"), **extra}
    return {"conn_type": "doorward", "host": issuer.url, "login": "client", "extra": settings}


def test_ten_tasks_and_a_second_run_make_one_request(deployment: Deployment, issuer: Issuer, api: Api, tmp_path: Path) -> None:
    # Slow, so that the first tasks all come while one of them waits.
    issuer.fail("token", delay=0.3)
    logs = [deployment.run("scores", connection(issuer, tmp_path), CHURN_URL=api.url) for _ in range(2)]
    assert sorted(seen.path for seen in api.seen) == sorted(2 * [f"/score/{customer}" for customer in range(10)])
    (token,) = set(api.tokens)
    assert issuer.requests("token") == 1
    assert not any(token in log for log in logs)


def test_a_task_that_prints_its_token_prints_asterisks(deployment: Deployment, issuer: Issuer, tmp_path: Path) -> None:
    log = deployment.run("printing", connection(issuer, tmp_path, cache_dir="none"))
    shown = [path.read_text() for path in HOME.glob("shown-*")]
    processes = {path.name.rpartition("-")[2] for path in HOME.glob("shown-*")}
    # Each task in a process of its own, and for once with a token of its own.
    assert len(processes) == len(set(shown)) == issuer.requests("token") == 3
    # Airflow leaves the first characters of what it masks: those that all tokens have.
    assert re.search(r"the token is (eyJ)?\*\*\*", log)
    assert not any(token in log for token in shown)


# === the hook, in this process ===


@pytest.fixture
def connected(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DOORWARD_DEFAULT", json.dumps(connection(issuer, tmp_path, cache_dir="none")))


@pytest.mark.usefixtures("connected")
def test_hooks_of_a_process_share_a_source(issuer: Issuer, api: Api) -> None:
    first, second = DoorwardHook(), DoorwardHook()
    assert first.auth() is second.auth()
    assert first.token() == asyncio.run(second.token_async())
    for session in (first.session(), second.get_conn()):
        with session:
            assert session.get(f"{api.url}/score/1", timeout=10).text == "welcome"
    assert issuer.requests("token") == 1


@pytest.mark.usefixtures("connected")
def test_a_hook_can_request_another_scope(issuer: Issuer) -> None:
    issuer.add_client("client", "secret", audience="churn", scopes=["train"])
    assert "train" in issuer.verifier("churn").verify(DoorwardHook(scope="train").token()).scopes


def test_a_copy_of_a_hook_holds_no_secret(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"conn_type": "doorward", "host": issuer.url, "login": "client", "password": "secret", "extra": {"cache_dir": "none"}}
    monkeypatch.setenv("AIRFLOW_CONN_DOORWARD_DEFAULT", json.dumps(described))
    hook = DoorwardHook()
    token = hook.token()
    copied = pickle.dumps(hook)
    assert token.encode() not in copied and b"'secret'" not in copied and "secret'" not in repr(vars(hook))
    assert pickle.loads(copied).token() == token


@pytest.mark.usefixtures("connected")
def test_the_button_test_reports_whether_tokens_can_be_had(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DoorwardHook().test_connection() == (True, f"{issuer.url} gives tokens to client")
    for extra, message in (
        ({"scope": "everything"}, "invalid_scope"),
        ({"secret_file": None}, "exactly one way"),
        ({"secrets_file": "x"}, "unknown setting 'secrets_file'"),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_DOORWARD_DEFAULT", json.dumps(connection(issuer, tmp_path, **extra)))
        good, said = DoorwardHook().test_connection()
        assert not good and message in said
    with pytest.raises(doorward.ConfigurationError):
        DoorwardHook().auth()


def test_the_web_interface_offers_the_connection() -> None:
    # Before Airflow 3.3 the web interface asks for the extra as JSON.
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    hook = ProvidersManagerTaskRuntime().hooks["doorward"]
    assert hook is not None
    assert (hook.hook_class_name, hook.hook_name) == ("doorward.airflow.DoorwardHook", "Doorward (OpenID Connect)")
    known = ProvidersManager()
    behaviour = known.field_behaviours["doorward"]
    assert behaviour["relabeling"] == {"host": "Issuer URL", "login": "Client ID", "password": "Client secret"}
    fields = {name.rpartition("__")[2] for name in known.connection_form_widgets if "doorward" in name}
    assert {"secret_file", "assertion_file", "private_key_file", "scope", "audience", "cache_dir"} <= fields
