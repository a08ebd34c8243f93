"""A program's own tokens: one request for all callers, in threads, tasks, processes and forks."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import doorward
from doorward.testing import Issuer


def source(issuer: Issuer, **options: object) -> doorward.TokenSource:
    return doorward.Issuer(issuer.url).client_credentials("client", **{"secret": "secret", **options})  # type: ignore[arg-type]


def test_a_token_is_fetched_once_and_kept(issuer: Issuer) -> None:
    tokens = source(issuer)
    assert tokens.expires_at is None
    assert issuer.requests("token") == 0
    token = tokens.token()
    assert tokens.authorization() == f"Bearer {token}"
    assert {tokens.token() for _ in range(100)} == {token}
    assert issuer.requests("token") == 1
    assert tokens.expires_at is not None
    assert 290 < tokens.expires_at.timestamp() - time.time() < 310
    assert (tokens.client_id, tokens.issuer) == ("client", issuer.url)


def test_a_token_has_the_requested_scopes(issuer: Issuer) -> None:
    issuer.add_client("job", "hunter2", audience="churn", scopes=["score", "train"], roles=["batch"])
    made = doorward.Issuer(issuer.url)
    for scope in ("score train", ["score", "train"]):
        tokens = made.client_credentials("job", secret="hunter2", scope=scope)
        claims = issuer.verifier("churn").verify(tokens.token())
        assert claims.client == "job"
        assert {"score", "train"} <= claims.scopes
        assert "batch" in claims.roles


def test_a_secret_in_a_file_is_read_at_each_request(issuer: Issuer, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("wrong\n")
    with pytest.raises(doorward.TokenRequestRefused) as caught:
        doorward.Issuer(issuer.url).client_credentials("client", secret_file=path).token()
    assert (caught.value.error, caught.value.code) == ("invalid_client", "token_request_refused")
    assert caught.value.remedy
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret_file=str(path))
    path.write_text("secret\n")
    assert tokens.token()


def test_a_missing_secret_file_is_named(issuer: Issuer, tmp_path: Path) -> None:
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret_file=tmp_path / "absent")
    with pytest.raises(doorward.DoorwardError, match="absent"):
        tokens.token()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_secret_can_be_sent_by_header_or_form(issuer: Issuer, method: str) -> None:
    assert source(issuer, method=method).token()


def test_a_key_signs_instead_of_a_secret(issuer: Issuer, tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    issuer.add_client("signer", public_key=public.read_text(), audience="churn")
    tokens = doorward.Issuer(issuer.url).client_credentials("signer", private_key_file=private)
    assert issuer.verifier("churn").verify(tokens.token()).client == "signer"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"secret": "a", "secret_file": "b"},
        {"secret": "a", "assertion_file": "b"},
        {"secret": "a", "method": "tls_client_auth"},
        {"private_key_file": "/nonexistent"},
        {"assertion_file": "a", "method": "client_secret_post"},
    ],
)
def test_invalid_credentials_are_refused_when_given(issuer: Issuer, options: dict[str, str]) -> None:
    with pytest.raises(doorward.ConfigurationError) as caught:
        doorward.Issuer(issuer.url).client_credentials("client", **options)  # type: ignore[arg-type]
    assert caught.value.code == "client_authentication"
    assert caught.value.remedy


def test_a_refusal_carries_the_issuers_answer(issuer: Issuer) -> None:
    with pytest.raises(doorward.TokenRequestRefused) as caught:
        source(issuer, scope="everything").token()
    assert caught.value.error == "invalid_scope"
    assert caught.value.status == 400
    assert not isinstance(caught.value, doorward.InvalidToken)


def test_a_failing_issuer_is_not_asked_for_a_while(issuer: Issuer) -> None:
    issuer.fail("token", status=503)
    tokens = source(issuer)
    for _ in range(20):
        with pytest.raises(doorward.IssuerUnavailable) as caught:
            tokens.token()
    assert caught.value.retry_after is not None
    assert issuer.requests("token") == 1


def test_a_good_token_outlives_an_outage(issuer: Issuer) -> None:
    tokens = source(issuer)
    token = tokens.token()
    with issuer.outage():
        assert tokens.token() == token


def test_a_rejected_token_is_renewed_once_for_all_callers(issuer: Issuer) -> None:
    tokens = source(issuer)
    rejected = tokens.token()
    with ThreadPoolExecutor(20) as pool:
        fresh = set(pool.map(lambda _: tokens.token(rejected=rejected), range(20)))
    assert len(fresh) == 1 and fresh != {rejected}
    assert issuer.requests("token") == 2
    # A service that refuses every token does not cause a request each time.
    (second,) = fresh
    assert tokens.token(rejected=second) == second
    assert issuer.requests("token") == 2


def test_sources_neither_print_secrets_nor_can_be_pickled(issuer: Issuer) -> None:
    tokens = source(issuer, secret="secret")
    shown = repr(tokens) + str(tokens) + tokens.token()[:0]
    assert shown == 2 * f'<doorward.TokenSource client credentials by "client" at "{issuer.url}">'
    with pytest.raises(TypeError, match="it holds credentials"):
        pickle.dumps(tokens)


# === token exchange ===


def test_each_users_token_is_exchanged_once(issuer: Issuer) -> None:
    issuer.add_client("churn", "-")
    tokens = source(issuer)
    alice, bob = (login(issuer, name) for name in ("alice", "bob"))
    for_alice = tokens.exchange(audience="churn", subject_token=alice)
    assert issuer.requests("token") == 0
    first = for_alice.token()
    assert tokens.exchange(audience="churn", subject_token=alice).token() == first
    assert issuer.requests("token") == 1
    second = tokens.exchange(audience="churn", subject_token=bob).token()
    assert second != first
    assert issuer.requests("token") == 2
    claims = issuer.verifier("churn").verify(first)
    assert claims.username == "alice"
    assert alice not in repr(for_alice)
    with pytest.raises(doorward.ConfigurationError):
        tokens.exchange(audience="churn", subject_token="")


def test_a_rejected_exchanged_token_is_exchanged_again_once(issuer: Issuer) -> None:
    issuer.add_client("churn", "-")
    for_alice = source(issuer).exchange(audience="churn", subject_token=login(issuer, "alice"))
    first = for_alice.token()
    second = for_alice.token(rejected=first)
    assert second != first
    assert for_alice.token() == second
    assert for_alice.token(rejected=second) == second
    assert issuer.requests("token") == 2


def login(issuer: Issuer, username: str) -> str:
    issuer.add_user(username)
    return str(issuer.log_in(username)["access_token"])


def test_a_refused_exchange_raises_its_error(issuer: Issuer) -> None:
    with pytest.raises(doorward.TokenRequestRefused):
        source(issuer).exchange(audience="churn", subject_token="nonsense").token()


# === many callers: the token endpoint is slow, so that all callers come while the first is waiting ===


def test_twenty_threads_make_one_request(issuer: Issuer) -> None:
    issuer.fail("token", delay=0.3)
    tokens = source(issuer)
    start = threading.Barrier(20)

    def ask(_: int) -> str:
        start.wait()
        return tokens.token()

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(ask, range(20)))) == 1
    assert issuer.requests("token") == 1


def test_two_hundred_tasks_make_one_request_without_blocking(issuer: Issuer) -> None:
    issuer.fail("token", delay=0.3)
    tokens = source(issuer)

    async def main() -> tuple[set[str], int]:
        turns = 0

        async def watch() -> None:
            nonlocal turns
            while tokens.expires_at is None:
                turns += 1
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        got = await asyncio.gather(*(tokens.token_async() for _ in range(200)))
        await watching
        return set(got), turns

    got, turns = asyncio.run(main())
    assert len(got) == 1
    assert issuer.requests("token") == 1
    # A loop that is held up turns once or twice while there is no token.
    assert turns > 20


def test_a_token_in_memory_returns_without_suspending(issuer: Issuer) -> None:
    tokens = source(issuer)
    token = tokens.token()
    with pytest.raises(StopIteration) as caught:
        tokens.token_async().send(None)
    assert caught.value.value == token


def test_a_cancelled_task_does_not_cancel_the_request(issuer: Issuer) -> None:
    issuer.fail("token", delay=0.3)
    tokens = source(issuer)

    async def main() -> str:
        first = asyncio.create_task(tokens.token_async())
        second = asyncio.create_task(tokens.token_async())
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(main())
    assert issuer.requests("token") == 1


def test_a_closed_loop_does_not_disturb_other_loops(issuer: Issuer) -> None:
    issuer.fail("token", delay=0.2)
    tokens = source(issuer)

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(tokens.token_async(), 0.01)

    asyncio.run(impatient())
    assert tokens.token()
    assert issuer.requests("token") == 1


def test_ten_processes_that_share_a_directory_make_one_request(issuer: Issuer, tmp_path: Path) -> None:
    issuer.fail("token", delay=0.3)
    cache = tmp_path / "tokens"
    program = f"""
import doorward
tokens = doorward.Issuer({issuer.url!r}).client_credentials("client", secret="secret", cache_dir={str(cache)!r})
print(tokens.token())
"""
    jobs = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(10)]
    got = {job.communicate(timeout=60)[0] for job in jobs}
    assert len(got) == 1 and got != {""}
    assert issuer.requests("token") == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in cache.iterdir()} == {0o600}


# === forks ===


def _token(url: str, cache: str) -> str:
    return doorward.Issuer(url).client_credentials("client", secret="secret", cache_dir=cache).token()


def in_child(work: Callable[[], object]) -> object:
    """Runs ``work`` in a forked child and returns what it returned; a child that hangs is a failure."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = {"ok": work()}
        except BaseException as error:
            answer = {"error": repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    os.set_blocking(reader, False)
    deadline = time.monotonic() + 20
    text = b""
    while time.monotonic() < deadline:
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            text = os.read(reader, 100_000)
            break
        time.sleep(0.01)
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    os.close(reader)
    assert text, "the child hangs"
    answer = json.loads(text)
    assert "error" not in answer, answer["error"]
    return answer["ok"]


forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@forks
def test_a_forked_child_verifies_and_fetches_its_own_token(issuer: Issuer) -> None:
    issuer.add_client("client", "secret", audience="churn")
    tokens = source(issuer)
    verifier = issuer.verifier("churn")
    token = tokens.token()
    assert verifier.verify(token)

    def child() -> list[str]:
        async def later() -> list[str]:
            fresh = await tokens.token_async()
            return [(await verifier.verify_async(fresh)).client or "", verifier.verify(token).client or ""]

        own = tokens.token()
        return [*asyncio.run(later()), verifier.verify(own).client or "", str(own != token)]

    assert in_child(child) == ["client", "client", "client", "True"]
    # The parent goes on as before.
    assert tokens.token() == token
    assert issuer.requests("token") == 2


@forks
def test_children_forked_while_the_parent_waits_work(issuer: Issuer) -> None:
    issuer.fail("token", delay=0.3)
    tokens = source(issuer)
    waiting = threading.Thread(target=tokens.token)
    waiting.start()
    assert in_child(lambda: bool(tokens.token())) is True
    assert in_child(lambda: in_child(lambda: bool(tokens.token()))) is True
    waiting.join()
    assert issuer.requests("token") == 3


@forks
def test_forked_workers_that_share_a_directory_make_one_request(issuer: Issuer, tmp_path: Path) -> None:
    tokens = source(issuer, cache_dir=tmp_path / "tokens")
    token = tokens.token()
    for _ in range(5):
        assert in_child(tokens.token) == token
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert set(pool.starmap(_token, [(issuer.url, str(tmp_path / "tokens"))] * 8, chunksize=1)) == {token}
    assert issuer.requests("token") == 1


@forks
def test_the_parents_test_issuer_is_refused_in_a_child(issuer: Issuer) -> None:
    with pytest.raises(AssertionError, match="belongs to the parent"):
        in_child(lambda: issuer.mint())
    assert issuer.mint()


def test_a_program_exits_while_a_thread_waits(issuer: Issuer) -> None:
    issuer.fail("token", delay=5)
    program = f"""
import asyncio, threading, doorward
tokens = doorward.Issuer({issuer.url!r}).client_credentials("client", secret="secret")
threading.Thread(target=tokens.token, daemon=True).start()
async def main():
    asyncio.create_task(tokens.token_async())
    await asyncio.sleep(0.2)
asyncio.run(main())
"""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert time.monotonic() - began < 4


def test_ctrl_c_ends_a_wait(issuer: Issuer) -> None:
    issuer.fail("token", delay=5)
    program = f"""
import _thread, threading, doorward
tokens = doorward.Issuer({issuer.url!r}).client_credentials("client", secret="secret")
threading.Timer(0.3, _thread.interrupt_main).start()
try:
    tokens.token()
except KeyboardInterrupt:
    print("interrupted")
"""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert ended.stdout == "interrupted\n"
    assert time.monotonic() - began < 4
