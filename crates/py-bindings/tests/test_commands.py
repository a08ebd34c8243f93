"""`python -m doorward`: the commands of the program `doorward`, their flags, texts, exit codes and files."""

from __future__ import annotations

import json
import os
import re
import signal
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

PACKAGE = (sys.executable, "-m", "doorward")
# The program to compare with; `just python` names it.
PROGRAM = (os.environ.get("DOORWARD_BIN", ""),)
beside_the_program = pytest.mark.skipif(not PROGRAM[0], reason="DOORWARD_BIN names no program to compare with")
each = pytest.mark.parametrize("program", [PACKAGE, pytest.param(PROGRAM, marks=beside_the_program)], ids=["package", "program"])


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose home is empty."""
    (tmp_path / "run").mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def doorward(home: dict[str, str]) -> Doorward:
    def run(*arguments: str, program: tuple[str, ...] = PACKAGE, **more: str) -> subprocess.CompletedProcess[str]:
        given = {name: value for name, value in more.items() if name != "stdin"}
        command, env = [*program, *arguments], {**home, **given}
        return subprocess.run(command, env=env, input=more.get("stdin"), capture_output=True, encoding="utf-8", timeout=60)

    return run


@pytest.fixture
def desk(issuer: Issuer) -> list[str]:
    """The issuer and the client, as flags."""
    issuer.add_client("desk", redirect_uri="http://127.0.0.1:*/callback", audience=["desk", "churn"])
    issuer.add_user("alice", name="Alice", roles=["data-scientist"])
    return ["--issuer", issuer.url, "--client-id", "desk"]


def sign_in(
    issuer: Issuer, home: dict[str, str], *arguments: str, program: tuple[str, ...] = PACKAGE
) -> subprocess.CompletedProcess[str]:
    """Runs `login`, and does what the person does meanwhile."""
    command = [*program, "login", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=home, stdout=pipe, stderr=pipe, text=True) as login:
        assert login.stdout and login.stderr
        printed: list[str] = []
        for line in login.stdout:
            printed.append(line)
            word = line.strip()
            if "--device" not in arguments and word.startswith("http"):
                with urllib.request.urlopen(issuer.sign_in(word, "alice")) as page:
                    assert page.status == 200
            elif "--device" in arguments and printed[-2:-1] == ["\n"] and printed[-3:-2] == ["and type the code\n"]:
                assert issuer.allow_device(word, "alice")
        return subprocess.CompletedProcess(command, login.wait(60), "".join(printed), login.stderr.read())


# === verify ===


def test_a_valid_token_is_printed(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn", roles=["data-scientist"])
    done = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("valid for churn\n")
    assert "  roles        data-scientist\n" in done.stdout
    assert token not in done.stdout + done.stderr


def test_output_is_utf_8_whatever_encoding_python_has(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn", claims={"name": "Älice"})
    done = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Älice" in done.stdout


def test_a_refused_token_has_its_reason_and_remedy(issuer: Issuer, doorward: Doorward, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"Bearer {issuer.mint(audience='churn', expired=True)}\n")
    flags = ["--issuer", issuer.url, "--audience", "churn"]
    done = doorward("verify", *flags, "--token-file", str(file))
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "refused: expired")
    assert "  what to do   get a fresh token" in done.stdout
    answer = json.loads(doorward("verify", *flags, "--json", "-", stdin=file.read_text()).stdout)
    assert (answer["valid"], answer["code"], answer["temporary"]) == (False, "expired", False)
    assert answer["unverified_claims"]["aud"] == "churn"


def test_a_valid_token_as_json_by_settings_of_the_environment(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint("alice", audience="churn")
    done = doorward("verify", "--json", token, DOORWARD_ISSUER=issuer.url, DOORWARD_AUDIENCE="churn")
    answer = json.loads(done.stdout)
    assert (answer["valid"], answer["header"]["alg"], answer["claims"]["preferred_username"]) == (True, "RS256", "alice")


def test_foreign_text_cannot_control_the_terminal(issuer: Issuer, doorward: Doorward) -> None:
    token = issuer.mint(audience="churn", claims={"name": "a\x1b[2Jb\nvalid", "team": {"x\u202e": 1}})
    answer = doorward("verify", "--issuer", issuer.url, "--audience", "churn", token).stdout
    assert "a\\u{1b}[2Jb\\u{a}valid" in answer and "\x1b" not in answer and "\u202e" not in answer


def test_certificates_are_those_that_other_python_packages_trust(issuer: Issuer, doorward: Doorward, tmp_path: Path) -> None:
    words = ["verify", "--issuer", issuer.url, "--audience", "churn", issuer.mint(audience="churn")]
    missing = {"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": str(tmp_path / "missing.pem")}
    done = doorward(*words, **missing)
    assert done.returncode == 1 and missing["REQUESTS_CA_BUNDLE"] in done.stderr, done
    trusted = subprocess.run([sys.executable, "-m", "certifi"], capture_output=True, text=True, check=True).stdout.strip()
    assert doorward(*words, **missing, DOORWARD_CA_FILE=trusted).returncode == 0


@pytest.mark.parametrize("words", [["verify", "x"], ["verify", "--issuer", "https://i.example", "x"], ["token", "--exec"], ["nonsense"], []])
def test_wrong_usage(doorward: Doorward, words: list[str]) -> None:
    assert doorward(*words).returncode == 2


def test_an_invalid_issuer_is_named(doorward: Doorward) -> None:
    done = doorward("verify", "--issuer", "not a URL", "--audience", "churn", "x.y.z")
    assert done.returncode == 2
    assert "'not a URL'" in done.stderr and "Traceback" not in done.stderr


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


def test_a_token_goes_where_the_flags_say(issuer: Issuer, doorward: Doorward, machine: list[str], tmp_path: Path) -> None:
    token = doorward("token", *machine).stdout.strip()
    assert issuer.verifier("account").verify(token).client == "client"
    assert doorward("token", *machine, "--header").stdout == f"Authorization: Bearer {token}\n"
    answer = json.loads(doorward("token", *machine, "--json").stdout)
    assert answer["access_token"] == token and answer["token_type"] == "Bearer" and 0 < answer["expires_in"] <= 300
    information = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1"})
    answer = json.loads(doorward("token", *machine, "--kubernetes", KUBERNETES_EXEC_INFO=information).stdout)
    assert (answer["apiVersion"], answer["status"]["token"]) == ("client.authentication.k8s.io/v1beta1", token)
    shell = ["--exec", "--env", "A", "--env", "B", "--", "sh", "-c", 'echo "$A-$B"; exit 7']
    done = doorward("token", *machine, *shell)
    assert (done.returncode, done.stdout) == (7, f"{token}-{token}\n")
    missing = doorward("token", *machine, "--exec", "--", "no-such-command")
    assert (missing.returncode, missing.stderr) == (1, "doorward: no-such-command cannot be run: No such file or directory (os error 2)\n")
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


def test_a_wrong_secret_is_never_printed(doorward: Doorward, machine: list[str], tmp_path: Path) -> None:
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


def test_a_missing_login_names_the_command_that_signs_in(issuer: Issuer, doorward: Doorward, desk: list[str]) -> None:
    done = doorward("token", *desk)
    assert done.returncode == 4
    assert f"run `python -m doorward login --issuer {issuer.url} --client-id desk`" in done.stderr
    assert doorward("logout").stdout == "No login is kept on this machine.\n"
    assert doorward("logout", *desk).returncode == 4


def test_a_login_is_exchanged_for_another_service(issuer: Issuer, doorward: Doorward, home: dict[str, str], tmp_path: Path) -> None:
    issuer.add_client("office", "s3cret", redirect_uri="http://127.0.0.1:*/callback", audience=["office"])
    issuer.add_client("churn", "other")
    issuer.add_user("alice")
    (tmp_path / "secret").write_text("s3cret")
    flags = ["--issuer", issuer.url, "--client-id", "office", "--client-secret-file", str(tmp_path / "secret")]
    done = sign_in(issuer, home, *flags, "--no-browser")
    assert done.returncode == 0, done.stderr
    # The login keeps the path of the client's credential.
    exchanged = [doorward("token", "--audience", "churn") for _ in range(2)]
    assert exchanged[0].returncode == 0, exchanged[0].stderr
    assert exchanged[0].stdout == exchanged[1].stdout
    assert issuer.verifier("churn").verify(exchanged[0].stdout.strip()).username == "alice"


def test_a_login_that_is_not_finished_fails(issuer: Issuer, doorward: Doorward, desk: list[str]) -> None:
    done = doorward("login", *desk, "--no-browser", "--wait", "1s")
    assert done.returncode == 1
    assert "no sign-in within 1 s" in done.stderr and "Traceback" not in done.stderr


# === beside the program ===


def without_its_name(text: str) -> str:
    return text.replace("python -m doorward", "doorward").replace(Path(PROGRAM[0]).name, "doorward")


def without_times(text: str) -> str:
    return re.sub(r"\S+Z \(.*\)|\"expires_in\": \d+", "", text)


@beside_the_program
@pytest.mark.parametrize("command", ["verify", "token", "login", "logout"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_the_same_but_for_the_name(doorward: Doorward, command: str, flag: str) -> None:
    here, there = doorward(command, flag), doorward(command, flag, program=PROGRAM)
    assert f"Usage: python -m doorward {command} " in here.stdout
    assert (here.returncode, without_its_name(here.stdout), here.stderr) == (0, without_its_name(there.stdout), "")


@beside_the_program
@pytest.mark.parametrize(
    "words",
    [
        ["login"],
        ["login", "--device", "--port", "1"],
        ["login", "--issuer", "https://i.example", "--client-id", "c", "--redirect-uri", "https://elsewhere.example/"],
        ["login", "--issuer", "https://i.example", "--client-id", "c", "--client-certificate", "c.pem", "--client-key", "k.pem"],
        ["logout"],
        ["logout", "--issuer", "https://i.example"],
        ["token"],
        ["token", "--exec"],
        ["token", "--watch"],
        ["token", "--json", "--header"],
        ["token", "--issuer", "https://i.example", "--client-id", "c"],
        ["token", "--client-secret-file", "s"],
        ["token", "--client-secret-file", "s", "--private-key-file", "k"],
        ["verify"],
        ["verify", "--issuer", "not a URL", "--audience", "a", "x"],
        ["verify", "--issuer", "https://i.example", "--audience", "a", "--leeway", "soon", "x"],
        ["verify", "--issuer", "https://i.example", "--audience", "a", "--token-file", "missing"],
        ["verify", "--issuer", "https://i.example", "--audience", "a", "--ca-file", "missing", "x"],
        ["verify", "--issuer", "https://i.example", "--audience", "a", ""],
        ["verify", "--issuer", "https://i.example", "--audience", "a", "x"],
        ["nonsense", "--issuer"],
    ],
    ids=" ".join,
)
def test_errors_and_exit_codes_are_the_same(doorward: Doorward, words: list[str]) -> None:
    here, there = doorward(*words), doorward(*words, program=PROGRAM)
    assert here.returncode == there.returncode and "Traceback" not in here.stderr
    # The program has more commands, which the error of an unknown one may suggest.
    if words[0] != "nonsense":
        assert without_its_name(here.stdout) == without_its_name(there.stdout)
        assert without_its_name(here.stderr) == without_its_name(there.stderr)


@beside_the_program
@pytest.mark.parametrize("expired", [False, True], ids=["valid", "expired"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_the_content_of_a_token_is_printed_the_same(issuer: Issuer, doorward: Doorward, expired: bool, form: list[str]) -> None:
    token = issuer.mint("alice", audience="churn", expired=expired, claims={"act": {"sub": "batch"}, "team": {"x\u202e": 1}})
    words = ["verify", "--issuer", issuer.url, "--audience", "churn", *form, token]
    here, there = doorward(*words), doorward(*words, program=PROGRAM)
    assert here.returncode == there.returncode == int(expired)
    assert without_times(without_its_name(here.stdout)) == without_times(without_its_name(there.stdout))
    assert (here.stderr, there.stderr) == ("", "")


@beside_the_program
@pytest.mark.parametrize("by", [["--no-browser"], ["--device"]])
def test_a_login_prints_the_same(issuer: Issuer, desk: list[str], home: dict[str, str], by: list[str]) -> None:
    def printed(program: tuple[str, ...]) -> str:
        done = sign_in(issuer, home, *desk, *by, program=program)
        assert (done.returncode, done.stderr) == (0, "")
        # Each login has another address and another code.
        return re.sub(r"(?m)^  (http\S+|[A-Z-]+)$", "", without_times(without_its_name(done.stdout)))

    assert printed(PACKAGE) == printed(PROGRAM)


@beside_the_program
def test_a_login_by_one_is_used_by_the_other(issuer: Issuer, doorward: Doorward, desk: list[str], home: dict[str, str]) -> None:
    assert sign_in(issuer, home, *desk, "--no-browser").returncode == 0
    here, there = doorward("token"), doorward("token", program=PROGRAM)
    assert (there.returncode, there.stdout) == (0, here.stdout), there.stderr
    assert doorward("logout", program=PROGRAM).returncode == 0
    assert doorward("token").returncode == 4


# === pipes and signals ===


@each
def test_a_reader_that_leaves_is_no_error(issuer: Issuer, home: dict[str, str], program: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = ["verify", "--issuer", issuer.url, "--audience", "churn", issuer.mint(audience="churn")]
    done = subprocess.run([*program, *words], env=home, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@each
def test_ctrl_c_ends_a_login_by_the_signal(desk: list[str], home: dict[str, str], program: tuple[str, ...]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([*program, "login", *desk, "--no-browser"], env=home, stdout=pipe, stderr=pipe, text=True) as login:
        assert login.stdout and login.stderr
        assert any("login --device" in line for line in login.stdout)
        login.send_signal(signal.SIGINT)
        assert (login.wait(10), login.stderr.read()) == (-signal.SIGINT, "")


@each
def test_ctrl_c_ends_a_command_that_reads_a_token(home: dict[str, str], program: tuple[str, ...]) -> None:
    command = [*program, "verify", "--issuer", "https://i.example", "--audience", "a", "-"]
    with subprocess.Popen(command, env=home, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reading:
        assert reading.stderr
        # Another thread reads, while those of the runtime wait.
        wait_for(lambda: len(os.listdir(f"/proc/{reading.pid}/task")) > 2)
        reading.send_signal(signal.SIGINT)
        assert (reading.wait(10), reading.stderr.read()) == (-signal.SIGINT, "")


@each
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_watch_with_success(
    home: dict[str, str], machine: list[str], tmp_path: Path, program: tuple[str, ...], number: signal.Signals
) -> None:
    command = [*program, "token", *machine, "--file", str(tmp_path / "token"), "--watch"]
    with subprocess.Popen(command, env=home, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr and "holds a token until" in watch.stderr.readline()
        watch.send_signal(number)
        assert (watch.wait(10), watch.stderr.read()) == (0, "")


@each
def test_a_signal_waits_for_a_refresh(
    issuer: Issuer, doorward: Doorward, desk: list[str], home: dict[str, str], program: tuple[str, ...]
) -> None:
    assert sign_in(issuer, home, *desk, "--no-browser").returncode == 0
    kept = next(Path(home["XDG_STATE_HOME"], "doorward/logins").glob("*.json"))
    login = json.loads(kept.read_text())
    login["tokens"].update(obtained_at=1_000, expires_at=2_000)
    kept.write_text(json.dumps(login))
    before = issuer.requests("token")
    issuer.fail("token", delay=0.5)
    pipe = subprocess.PIPE
    with subprocess.Popen([*program, "token"], env=home, stdout=pipe, stderr=pipe, text=True) as asking:
        wait_for(lambda: issuer.requests("token") > before)
        asking.send_signal(signal.SIGINT)
        assert (asking.wait(10), *asking.communicate()) == (130, "", "")
    issuer.heal()
    assert doorward("token").returncode == 0
    assert issuer.requests("token") == before + 1, "the refresh was written"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# === called by a program in Python ===

CALLER = """
import os, signal, sys, time
from doorward.__main__ import main
print("before", end=" ")
code = main(sys.argv[1:])
print("after", code, signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
"""


def test_ctrl_c_in_a_program_that_calls_a_command_returns_130(desk: list[str], home: dict[str, str]) -> None:
    command = [sys.executable, "-c", CALLER, "login", *desk, "--no-browser"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=home, stdout=pipe, stderr=pipe, text=True) as caller:
        assert caller.stdout and caller.stderr
        assert caller.stdout.readline().startswith("before Open this page")
        assert any("login --device" in line for line in caller.stdout)
        caller.send_signal(signal.SIGINT)
        assert (caller.stdout.read(), caller.wait(10), caller.stderr.read()) == ("after 130 True\n", -signal.SIGTERM, "")


def test_a_program_that_calls_a_command_keeps_its_signals(issuer: Issuer, desk: list[str], home: dict[str, str]) -> None:
    assert sign_in(issuer, home, *desk, "--no-browser").returncode == 0
    command = [sys.executable, "-c", CALLER, "token"]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"before eyJ\S+\nafter 0 True\n", done.stdout), done
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_arguments_that_are_no_text_reach_the_command(home: dict[str, str], machine: list[str]) -> None:
    command: list[str | bytes] = [*PACKAGE, "token", *machine, "--exec", "--", "printf", "%s", b"\xff"]
    assert subprocess.run(command, env=home, capture_output=True, timeout=60).stdout == b"\xff"
