"""The tasks of Luigi itself: forked workers and separate runs share one token."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import luigi
import pytest

import doorward
from doorward import _scheduled
from doorward import luigi as tasks
from doorward.testing import Issuer

from .conftest import Api

EXAMPLES = Path(__file__).parents[3] / "examples"


def configure(folder: Path, issuer: Issuer, **settings: object) -> Path:
    """The configuration of a client that the issuer knows; ``None`` leaves a setting out."""
    secret = folder / "secret"
    secret.write_text("secret\n")
    known = {"issuer": issuer.url, "client_id": "client", "secret_file": secret, "cache_dir": folder / "tokens", **settings}
    text = "".join(f"{name} = {value}\n" for name, value in known.items() if value is not None)
    path = folder / "luigi.cfg"
    path.write_text(f"[doorward]\n{text}\n[worker]\nwait_interval = 0.1\n")
    return path


def run(folder: Path, api: Api, scores: str, *, config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The example, as a user starts it."""
    return subprocess.run(
        [sys.executable, EXAMPLES / "luigi/scores.py", "Scores", "--local-scheduler", "--workers=8", "--api", api.url, "--folder", scores],
        cwd=folder,
        env={**os.environ, "LUIGI_CONFIG_PATH": str(config), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_forked_workers_and_a_second_run_make_one_request(issuer: Issuer, api: Api, tmp_path: Path) -> None:
    # Slow, so that all the first workers come while the first of them waits.
    issuer.fail("token", delay=0.3)
    config = configure(tmp_path, issuer)
    ran = run(tmp_path, api, "first", config=config)
    assert "This progress looks :)" in ran.stderr, ran.stderr
    assert len(list((tmp_path / "first").iterdir())) == 40
    assert sorted(seen.path for seen in api.seen) == sorted(f"/score/{customer}" for customer in range(40))
    assert len(set(api.tokens)) == 1
    assert issuer.requests("token") == 1

    ran = run(tmp_path, api, "second", config=config)
    assert "This progress looks :)" in ran.stderr, ran.stderr
    assert len(api.seen) == 80
    (token,) = set(api.tokens)
    assert issuer.requests("token") == 1
    assert token not in ran.stdout + ran.stderr
    assert "secret\n" not in ran.stdout + ran.stderr


def test_an_expired_token_is_fetched_again(api: Api, tmp_path: Path) -> None:
    with Issuer(token_lifetime=1.0) as issuer:
        config = configure(tmp_path, issuer)
        for scores in ("first", "second"):
            assert "This progress looks :)" in run(tmp_path, api, scores, config=config).stderr
        # A token that is fetched ahead may come after the last task has ended.
        assert 2 <= len(set(api.tokens)) <= issuer.requests("token") <= len(api.seen) == 80


def test_tokens_are_shared_in_the_usual_folder(issuer: Issuer, api: Api, tmp_path: Path) -> None:
    config = configure(tmp_path, issuer, cache_dir=None)
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    ran = run(tmp_path, api, "scores", config=config, XDG_RUNTIME_DIR=str(runtime))
    assert "This progress looks :)" in ran.stderr, ran.stderr
    assert issuer.requests("token") == 1
    assert stat.S_IMODE((runtime / "doorward").stat().st_mode) == 0o700


def test_a_runtime_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    instead = str(tmp_path / f"doorward-{os.getuid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert _scheduled._usual_folder() == str(runtime / "doorward")
    for useless in (str(tmp_path / "over"), os.path.relpath(runtime), __file__, ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", useless)
        assert _scheduled._usual_folder() == instead
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert _scheduled._usual_folder() != str(runtime / "doorward")


def test_a_failure_names_the_remedy_and_no_secret(issuer: Issuer, api: Api, tmp_path: Path) -> None:
    config = configure(tmp_path, issuer, scope="everything")
    ran = run(tmp_path, api, "scores", config=config)
    assert "TokenRequestRefused" in ran.stderr
    assert "invalid_scope" in ran.stderr
    assert api.seen == []


# === in this process ===


@pytest.fixture
def configured(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> luigi.configuration.LuigiConfigParser:
    """Luigi's configuration while the test runs."""
    config = luigi.configuration.LuigiConfigParser()
    config.read(configure(tmp_path, issuer, cache_dir="none"))
    monkeypatch.setattr(luigi.configuration.LuigiConfigParser, "_instance", config)
    luigi.task_register.Register.clear_instance_cache()
    return config


class Plain(tasks.TokenTask, luigi.Task):
    pass


class Scored(tasks.TokenTask, luigi.Task):
    token_scope = luigi.OptionalParameter(default="score")


class warehouse(tasks.ClientConfig):
    pass


class Load(tasks.TokenTask, luigi.Task):
    token_client = warehouse


@pytest.mark.usefixtures("configured")
def test_tasks_of_a_process_share_a_source_and_print_no_token(issuer: Issuer) -> None:
    first, second = Plain(), Plain()
    assert first.tokens is second.tokens
    token = first.token()
    assert issuer.requests("token") == 1
    assert token not in repr(first) + first.task_id + repr(vars(first))
    with first.session() as session:
        assert session.auth is second.tokens


@pytest.mark.usefixtures("configured")
def test_a_task_can_request_its_own_scope(issuer: Issuer) -> None:
    issuer.add_client("client", "secret", audience="churn", scopes=["score", "train"])
    verifier = issuer.verifier("churn")
    assert "score" in verifier.verify(Scored().token()).scopes
    assert "train" in verifier.verify(Scored("train").token()).scopes


def test_a_second_client_has_its_own_section(issuer: Issuer, configured: luigi.configuration.LuigiConfigParser) -> None:
    issuer.add_client("loader", "secret", audience="warehouse")
    for name, value in dict(configured.items("doorward"), client_id="loader").items():
        configured.set("warehouse", name, value)
    assert issuer.verifier("warehouse").verify(Load().token()).client == "loader"


def test_missing_settings_are_named(configured: luigi.configuration.LuigiConfigParser) -> None:
    configured.set("doorward", "secret_file", "")
    with pytest.raises(doorward.ConfigurationError, match="exactly one way"):
        _ = Plain().tokens
    luigi.task_register.Register.clear_instance_cache()
    configured.set("doorward", "issuer", "")
    with pytest.raises(doorward.ConfigurationError, match=r"\[doorward\]: missing issuer"):
        _ = Plain().tokens
