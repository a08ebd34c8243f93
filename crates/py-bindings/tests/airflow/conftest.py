"""Airflow itself, as it is installed: its database, its execution API, its executor; each task is a process of its own."""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# Airflow reads this when it is imported, and writes there.
HOME = Path(tempfile.mkdtemp(prefix="doorward-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__EXECUTOR="LocalExecutor",
    AIRFLOW__CORE__PARALLELISM="4",
    AIRFLOW__API_AUTH__JWT_SECRET=secrets.token_hex(64),
)

PRINTING = '''
import os

from airflow.sdk import dag, task

from doorward.airflow import DoorwardHook


@dag(schedule=None, catchup=False)
def printing():
    @task
    def show(number: int) -> None:
        token = DoorwardHook().token()
        print("the token is", token)
        open(f"{os.environ['AIRFLOW_HOME']}/shown-{number}-{os.getpid()}", "w").write(token)

    show.expand(number=list(range(3)))


printing()
'''


AIRFLOW = str(Path(sys.executable).with_name("airflow"))

DONE = "DagRun Finished"


def airflow(*arguments: str) -> None:
    """The command line, to its end."""
    ran = subprocess.run([AIRFLOW, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout


class Deployment:
    """An Airflow whose DAGs can be run."""

    def run(self, dag: str, connection: dict[str, object], **environment: str) -> str:
        """Run all tasks of a DAG; what was written to the log on the way."""
        environment["AIRFLOW_CONN_DOORWARD_DEFAULT"] = json.dumps(connection)
        output = HOME / f"{dag}.log"
        with output.open("w") as log:
            run = subprocess.Popen(
                [AIRFLOW, "dags", "test", dag, "--use-executor"],
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and run.poll() is None and DONE not in output.read_text():
                time.sleep(0.2)
            # Once all is done the executor now and then waits for a worker that it never asked to stop.
            with suppress(subprocess.TimeoutExpired):
                run.wait(timeout=15)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        log_text = output.read_text()
        log_text += "".join(path.read_text() for path in (HOME / "logs").glob(f"dag_id={dag}/**/*.log"))
        assert re.search(f"{DONE}: .*state=success", log_text), log_text
        return log_text


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    dags = HOME / "dags"
    dags.mkdir()
    shutil.copy(Path(__file__).parents[4] / "examples/airflow/scores.py", dags)
    (dags / "printing.py").write_text(PRINTING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/execution/"
    os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = url
    airflow("db", "migrate")
    airflow("dags", "reserialize")
    with (HOME / "api-server.log").open("w") as log:
        server = subprocess.Popen(
            [AIRFLOW, "api-server", "--apps", "execution", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(url + "health", server)
        yield Deployment()
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        finally:
            server.kill()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError((HOME / "api-server.log").read_text())
