"""MLflow's client with the plugin, against MLflow's server behind one that checks tokens as a service does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import doorward
from doorward.testing import Issuer

from .conftest import Api, until

# A training run as its author writes it: nothing about tokens.
TRAINING = """
import mlflow, os, sys
from pathlib import Path

Path("model.txt").write_text("weights")
mlflow.set_experiment("churn")
with mlflow.start_run() as run:
    mlflow.log_param("depth", 3)
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_artifact("model.txt")
print(mlflow.get_run(run.info.run_id).data.params["depth"])
print(Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model.txt")).read_text())
"""


@dataclass
class Checking:
    """A server before MLflow's that answers 401 unless the token is good."""

    url: str = ""
    revoked: set[str] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)
    refused: int = 0


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, *stores], cwd=folder, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=subprocess.STDOUT
        )

    def is_up() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        try:
            urllib.request.urlopen(url + "/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    try:
        until(is_up, 60)
        yield url
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def checking(mlflow_server: str, issuer: Issuer) -> Iterator[Checking]:
    issuer.add_client("training", "secret", audience="mlflow")
    verifier = issuer.verifier("mlflow")
    state = Checking()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            state.tokens.append(token)
            try:
                verifier.verify(token)
                good = token not in state.revoked
            except doorward.InvalidToken:
                good = False
            if not good:
                state.refused += 1
                return self.answer(401, b"who are you?", "text/plain")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "authorization", "content-length")}
            request = urllib.request.Request(mlflow_server + self.path, body or None, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                return self.answer(answer.status, answer.read(), answer.headers.get("content-type", "text/plain"))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield state
        server.shutdown()


@pytest.fixture
def settings(issuer: Issuer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_text("secret\n")
    return {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_TRACKING_AUTH": "doorward",
        "DOORWARD_ISSUER": issuer.url,
        "DOORWARD_CLIENT_ID": "training",
        "DOORWARD_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "DOORWARD_CACHE_DIR": str(tmp_path / "tokens"),
    }


@pytest.fixture
def environment(settings: dict[str, str], checking: Checking) -> dict[str, str]:
    return {**settings, "MLFLOW_TRACKING_URI": checking.url}


def run(program: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_training_run_has_a_token_in_each_request(
    checking: Checking, environment: dict[str, str], issuer: Issuer, tmp_path: Path
) -> None:
    for _ in range(2):
        trained = run(TRAINING, environment, tmp_path)
        assert trained.returncode == 0, trained.stderr
        assert trained.stdout.splitlines()[-2:] == ["3", "weights"]
    # Artifacts go through the server too; the second process used the token of the first.
    assert len(set(checking.tokens)) == issuer.requests("token") == 1
    assert checking.refused == 0
    assert checking.tokens[0] not in trained.stdout + trained.stderr


def test_a_revoked_token_is_replaced_during_a_run(
    checking: Checking, environment: dict[str, str], issuer: Issuer, tmp_path: Path
) -> None:
    assert run(TRAINING, environment, tmp_path).returncode == 0
    checking.revoked.update(checking.tokens)
    trained = run(TRAINING, environment, tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert checking.refused == 1
    assert len(set(checking.tokens)) == issuer.requests("token") == 2


def test_other_servers_do_not_get_the_token(
    checking: Checking, environment: dict[str, str], api: Api, tmp_path: Path
) -> None:
    program = f"""if True:
        import requests
        from mlflow.tracking import MlflowClient
        from mlflow.tracking.request_auth.registry import fetch_auth
        print(requests.get("{api.url}", auth=fetch_auth("doorward")).status_code)
        print(requests.get("{checking.url}/health", auth=fetch_auth("doorward")).status_code)
        print(len(MlflowClient("{checking.url}").search_experiments()) >= 1)
    """
    assert run(program, environment, tmp_path).stdout.splitlines()[-3:] == ["401", "200", "True"]
    assert [seen.authorization for seen in api.seen] == [None]
    named = run(program, {**environment, "DOORWARD_ORIGINS": api.url}, tmp_path)
    assert named.stdout.splitlines()[-3:] == ["200", "200", "True"]
    assert api.seen[-1].authorization is not None


def test_what_is_missing_is_named(settings: dict[str, str], tmp_path: Path) -> None:
    program = "from mlflow.tracking.request_auth.registry import fetch_auth; fetch_auth('doorward')"
    for variable in ("DOORWARD_ISSUER", "DOORWARD_CLIENT_ID"):
        left = {name: value for name, value in settings.items() if name != variable}
        assert f"MLFLOW_TRACKING_AUTH=doorward: missing {variable}" in run(program, left, tmp_path).stderr


def test_without_the_setting_no_token_is_requested(environment: dict[str, str], issuer: Issuer, tmp_path: Path) -> None:
    left = {name: value for name, value in environment.items() if name != "MLFLOW_TRACKING_AUTH"}
    assert run("import mlflow; mlflow.search_experiments()", left, tmp_path).returncode != 0
    assert issuer.requests("token") == 0
