"""`python -m doorward`: the commands of the program, its flags, exit codes and files."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from doorward.testing import Issuer

Doorward = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose home is empty."""
    (tmp_path / "run").mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def doorward(home: dict[str, str]) -> Doorward:
    def run(*arguments: str, program: tuple[str, ...] = (sys.executable, "-m", "doorward"), **more: str) -> subprocess.CompletedProcess[str]:
        given = {name: value for name, value in more.items() if name != "stdin"}
        return subprocess.run(
            [*program, *arguments], env={**home, **given}, input=more.get("stdin"), capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def desk(issuer: Issuer) -> list[str]:
    """The issuer and the client, as flags."""
    issuer.add_client("desk", redirect_uri="http://127.0.0.1:*/callback", audience=["desk", "churn"])
    issuer.add_user("alice", name="Alice", roles=["data-scientist"])
    return ["--issuer", issuer.url, "--client-id", "desk"]


def sign_in(issuer: Issuer, home: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`login`, and what the person does meanwhile."""
    command = [sys.executable, "-m", "doorward", "login", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=home, stdout=pipe, stderr=pipe, text=True) as program:
        assert program.stdout and program.stderr
        said: list[str] = []
        for line in program.stdout:
            said.append(line)
            word = line.strip()
            if "--device" not in arguments and word.startswith("http"):
                with urllib.request.urlopen(issuer.sign_in(word, "alice")) as page:
                    assert page.status == 200
            elif "--device" in arguments and said[-2:-1] == ["\n"] and said[-3:-2] == ["and type the code\n"]:
                assert issuer.allow_device(word, "alice")
        return subprocess.CompletedProcess(command, program.wait(60), "".join(said), program.stderr.read())


# === verify ===


def test_a_good_token_is_told_of(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn", roles=["data-scientist"])
    done = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("valid for churn\n")
    assert "  roles        data-scientist\n" in done.stdout
    assert token not in done.stdout + done.stderr


def test_a_name_that_the_terminal_cannot_show_does_not_make_a_token_bad(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn", claims={"name": "Älice"})
    done = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xc4lice" in done.stdout


def test_a_refused_token_says_why_and_what_to_do(issuer: Issuer, doorward: Doorward, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"Bearer {issuer.mint(audience='churn', expired=True)}\n")
    flags = ["--issuer", issuer.url, "--audience", "churn"]
    done = doorward("verify", *flags, "--token-file", str(file))
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "refused: expired")
    assert "  what to do   get a fresh token" in done.stdout
    told = json.loads(doorward("verify", *flags, "--json", "-", stdin=file.read_text()).stdout)
    assert (told["valid"], told["code"], told["temporary"]) == (False, "expired", False)
    assert told["unverified_claims"]["aud"] == "churn"


def test_a_good_token_as_json_from_the_environment(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn")
    done = doorward("verify", "--json", token, DOORWARD_ISSUER=issuer.url, DOORWARD_AUDIENCE="churn")
    told = json.loads(done.stdout)
    assert (told["valid"], told["header"]["alg"], told["claims"]["preferred_username"]) == (True, "RS256", "alice")


def test_foreign_text_does_not_steer_the_terminal(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint(audience="churn", claims={"name": "a\x1b[2Jb\nvalid", "team": {"x\u202e": 1}})
    told = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token).stdout
    assert "a\\u{1b}[2Jb\\u{a}valid" in told and "\x1b" not in told and "\u202e" not in told


@pytest.mark.parametrize("words", [["verify", "x"], ["verify", "--issuer", "https://i.example", "x"], ["token", "--exec"], ["nonsense"], []])
def test_wrong_usage(doorward: Doorward, words: list[str]) -> None:
    assert doorward(*words).returncode == 2


def test_an_issuer_that_cannot_be_one(doorward: Doorward) -> None:
    done = doorward("verify", "--issuer", "not a URL", "--audience", "churn", "x.y.z")
    assert done.returncode == 1
    assert done.stderr.startswith("doorward: ") and "Traceback" not in done.stderr


# === a machine's token ===


@pytest.fixture
def machine(issuer: Issuer, tmp_path: Path) -> list[str]:
    (tmp_path / "secret").write_text("secret\n")
    return ["--issuer", issuer.url, "--client-id", "client", "--client-secret-file", str(tmp_path / "secret")]


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_runs_share_one_request(issuer: Issuer, doorward: Doorward, machine: list[str], place: str) -> None:
    environment = {"XDG_RUNTIME_DIR": ""} if place == "disk" else {}
    done = [doorward("token", *machine, **environment) for _ in range(3)]
    assert [one.returncode for one in done] == [0, 0, 0], done[0].stderr
    assert len({one.stdout for one in done}) == 1 and issuer.requests("token") == 1
    assert doorward("token", *machine, "--no-cache", **environment).stdout != done[0].stdout
    assert issuer.requests("token") == 2


def test_where_a_token_goes(issuer: Issuer, doorward: Doorward, machine: list[str], tmp_path: Path) -> None:
    token = doorward("token", *machine).stdout.strip()
    assert issuer.verifier("account").verify(token).client == "client"
    assert doorward("token", *machine, "--header").stdout == f"Authorization: Bearer {token}\n"
    told = json.loads(doorward("token", *machine, "--json").stdout)
    assert told["access_token"] == token and told["token_type"] == "Bearer" and 0 < told["expires_in"] <= 300
    information = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1"})
    told = json.loads(doorward("token", *machine, "--kubernetes", KUBERNETES_EXEC_INFO=information).stdout)
    assert (told["apiVersion"], told["status"]["token"]) == ("client.authentication.k8s.io/v1beta1", token)
    shell = ["--exec", "--env", "A", "--env", "B", "--", "sh", "-c", 'echo "$A-$B"; exit 7']
    done = doorward("token", *machine, *shell)
    assert (done.returncode, done.stdout) == (7, f"{token}-{token}\n")
    missing = doorward("token", *machine, "--exec", "--", "no-such-command")
    assert (missing.returncode, missing.stderr) == (1, "doorward: no-such-command cannot be run: No such file or directory\n")
    file = tmp_path / "token"
    assert doorward("token", *machine, "--file", str(file)).stdout == ""
    assert file.read_text() == token and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_watched_file_is_kept_fresh(issuer: Issuer, machine: list[str], home: dict[str, str], tmp_path: Path) -> None:
    issuer.add_client("client", "secret", token_lifetime=2)
    file = tmp_path / "token"
    command = [sys.executable, "-m", "doorward", "token", *machine, "--file", str(file), "--watch"]
    with subprocess.Popen(command, env=home, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        assert "holds a token until" in program.stderr.readline()
        first = file.read_text()
        deadline = time.monotonic() + 30
        while file.read_text() == first:
            assert time.monotonic() < deadline and program.poll() is None
            time.sleep(0.02)
        program.terminate()
        assert program.wait(30) == 0


def test_a_wrong_secret_is_told_and_never_shown(doorward: Doorward, machine: list[str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2-hunter2")
    done = doorward("token", *machine)
    assert done.returncode == 1 and done.stderr.startswith("doorward: ")
    assert "hunter2" not in done.stdout + done.stderr and "Traceback" not in done.stderr


# === a person's ===


@pytest.mark.parametrize("by", [["--no-browser"], ["--device"]])
def test_a_person_signs_in_gets_tokens_and_signs_out(
    issuer: Issuer, doorward: Doorward, desk: list[str], home: dict[str, str], by: list[str]
) -> None:
    done = sign_in(issuer, home, *desk, *by)
    assert done.returncode == 0, done.stderr
    assert f"Signed in as alice at {issuer.url} with the client desk." in done.stdout
    kept = list(Path(home["XDG_STATE_HOME"], "doorward/logins").glob("*.json"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in kept] == [0o600]
    token = doorward("token").stdout.strip()
    assert issuer.verifier("churn").verify(token).username == "alice"
    done = doorward("logout")
    assert (done.returncode, done.stdout) == (0, f"Signed out alice at {issuer.url} (client desk).\n")
    assert issuer.requests("revocation") >= 1
    assert doorward("token", *desk).returncode == 4


def test_a_person_without_a_login_is_told_how(issuer: Issuer, doorward: Doorward, desk: list[str]) -> None:
    done = doorward("token", *desk)
    assert done.returncode == 4
    assert f"run `python -m doorward login --issuer {issuer.url} --client-id desk`" in done.stderr
    assert doorward("logout").stdout == "Nobody is signed in.\n"
    assert doorward("logout", *desk).returncode == 4


def test_a_person_s_token_for_another_service(issuer: Issuer, doorward: Doorward, home: dict[str, str], tmp_path: Path) -> None:
    issuer.add_client("office", "s3cret", redirect_uri="http://127.0.0.1:*/callback", audience=["office"])
    issuer.add_client("churn", "other")
    issuer.add_user("alice")
    (tmp_path / "secret").write_text("s3cret")
    flags = ["--issuer", issuer.url, "--client-id", "office", "--client-secret-file", str(tmp_path / "secret")]
    done = sign_in(issuer, home, *flags, "--no-browser")
    assert done.returncode == 0, done.stderr
    # The login remembers where the client's credential is.
    exchanged = [doorward("token", "--audience", "churn") for _ in range(2)]
    assert exchanged[0].returncode == 0, exchanged[0].stderr
    assert exchanged[0].stdout == exchanged[1].stdout
    assert issuer.verifier("churn").verify(exchanged[0].stdout.strip()).username == "alice"


def test_nobody_comes(issuer: Issuer, doorward: Doorward, desk: list[str]) -> None:
    done = doorward("login", *desk, "--no-browser", "--wait", "1s")
    assert done.returncode == 1
    assert "nobody signed in within 1 s" in done.stderr and "Traceback" not in done.stderr


beside_the_program = pytest.mark.skipif("DOORWARD_BIN" not in os.environ, reason="DOORWARD_BIN names no program to compare with")


@beside_the_program
@pytest.mark.parametrize("command", ["verify", "token", "login", "logout"])
def test_the_program_and_the_package_have_the_same_flags(doorward: Doorward, command: str) -> None:
    def flags(**program: tuple[str, ...]) -> set[str]:
        told = doorward(command, "--help", **program)
        assert told.returncode == 0
        return set(re.findall(r"--[a-z][a-z-]+", told.stdout))

    assert flags() == flags(program=(os.environ["DOORWARD_BIN"],)) > {"--issuer", "--help"}


@beside_the_program
def test_the_program_and_the_package_share_logins(issuer: Issuer, doorward: Doorward, desk: list[str], home: dict[str, str]) -> None:
    program = (os.environ["DOORWARD_BIN"],)
    assert sign_in(issuer, home, *desk, "--no-browser").returncode == 0
    here, there = doorward("token"), doorward("token", program=program)
    assert (there.returncode, there.stdout) == (0, here.stdout), there.stderr
    token = here.stdout.strip()
    flags = ["verify", "--issuer", issuer.url, "--audience", "churn", token]
    assert doorward(*flags).stdout.splitlines()[0] == doorward(*flags, program=program).stdout.splitlines()[0]
    assert doorward("logout", program=program).returncode == 0
    assert doorward("token").returncode == 4
