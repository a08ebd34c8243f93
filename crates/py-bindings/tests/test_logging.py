"""Events of the native module in `logging`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import doorward
from doorward.testing import Issuer


class Records(logging.Handler):
    """Keeps what arrives; `seen` waits for it, since the records come from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.arrived = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.arrived:
            self.records.append(record)
            self.arrived.notify_all()

    def seen(self, wanted: Callable[[logging.LogRecord], bool]) -> logging.LogRecord:
        with self.arrived:
            found = self.arrived.wait_for(lambda: next(filter(wanted, self.records), None), timeout=20)
        assert found, [record.getMessage() for record in self.records]
        return found


@pytest.fixture
def records() -> Iterator[Records]:
    records, logger = Records(), logging.getLogger("doorward")
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.removeHandler(records)
    logger.setLevel(logging.NOTSET)


def test_an_outage_is_logged_by_area(issuer: Issuer, records: Records) -> None:
    verifier, token = issuer.verifier("churn"), issuer.mint("alice", audience="churn")
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret")
    with issuer.outage():
        for ask in (lambda: verifier.verify(token), tokens.token):
            with pytest.raises(doorward.IssuerUnavailable):
                ask()
        failed = records.seen(lambda record: record.name == "doorward.provider")
        renewal = records.seen(lambda record: record.name == "doorward.tokens")
    assert failed.levelno == logging.WARNING and issuer.url in failed.getMessage()
    assert failed.getMessage().startswith("discovery failed: ")
    assert renewal.getMessage().startswith("no new token: ")
    assert failed.pathname.endswith(".rs") and failed.lineno > 0


def test_why_a_key_is_skipped_can_be_learnt(records: Records) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"keys": [{"kty": "oct", "kid": "shared-100%", "k": "aHVudGVyMg"}, {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}]}
            url = f"http://127.0.0.1:{server.server_port}"
            body = json.dumps({"issuer": url, "jwks_uri": url + "/keys"} if self.path.startswith("/.well") else keys).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with Issuer() as signer, pytest.raises(doorward.IssuerMisconfigured) as none:
            doorward.Issuer(url, timeout=5).verifier("churn").verify(signer.mint("alice", audience="churn", issuer=url))
        assert "no usable key" in str(none.value)
        failed = records.seen(lambda record: record.name == "doorward.keys")
        assert "shared-100%" in failed.getMessage() or "short" in failed.getMessage()
    finally:
        server.shutdown()
        server.server_close()
    assert "aHVudGVyMg" not in "".join(record.getMessage() for record in records.records)


def test_no_record_has_a_token_or_a_secret(issuer: Issuer, records: Records) -> None:
    issuer.add_client("job", "s3cr3t-of-the-job")
    good = doorward.Issuer(issuer.url).client_credentials("job", secret="s3cr3t-of-the-job").token()
    with pytest.raises(doorward.TokenRequestRefused):
        doorward.Issuer(issuer.url).client_credentials("job", secret="s3cr3t-guess").token()
    minted = issuer.mint("alice", audience="churn")
    issuer.verifier("churn").verify(minted)
    records.seen(lambda record: "no new token" in record.getMessage())
    text = "".join(record.getMessage() for record in records.records)
    for secret in (good, minted, "s3cr3t"):
        assert secret not in text


def test_a_handler_may_use_this_package(issuer: Issuer) -> None:
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="secret")
    sent = threading.Event()

    class Shipper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert tokens.token()
            assert asyncio.run(tokens.authorization_async())
            sent.set()

    shipper, logger = Shipper(), logging.getLogger("doorward")
    logger.addHandler(shipper)
    try:
        with pytest.raises(doorward.TokenRequestRefused):
            doorward.Issuer(issuer.url).client_credentials("client", secret="wrong").token()
        assert sent.wait(20)
    finally:
        logger.removeHandler(shipper)


def test_a_slow_handler_delays_no_caller(issuer: Issuer) -> None:
    released = threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            released.wait(20)

    slow, logger = Slow(), logging.getLogger("doorward")
    logger.addHandler(slow)
    try:
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(doorward.TokenRequestRefused):
                asyncio.run(doorward.Issuer(issuer.url).client_credentials("client", secret="wrong").token_async())
        assert time.monotonic() - begun < 10
    finally:
        released.set()
        logger.removeHandler(slow)


def test_a_library_is_silent_until_logging_is_set_up(issuer: Issuer) -> None:
    lines = f"""
import doorward
try:
    doorward.Issuer({issuer.url!r}).client_credentials("client", secret="wrong").token()
except doorward.TokenRequestRefused:
    pass
"""
    silent = subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True, timeout=60)
    assert silent.stdout + silent.stderr == ""
    loud = "import logging; logging.basicConfig(level=logging.INFO)\n" + lines
    heard = subprocess.run([sys.executable, "-c", loud], check=True, capture_output=True, text=True, timeout=60)
    assert "WARNING:doorward.tokens:no new token: " in heard.stderr, "what waits is written before the process ends"


def test_a_forked_child_logs_for_itself(issuer: Issuer, records: Records) -> None:
    tokens = doorward.Issuer(issuer.url).client_credentials("client", secret="wrong")
    with pytest.raises(doorward.TokenRequestRefused):
        tokens.token()
    records.seen(lambda record: record.name == "doorward.tokens")
    child = os.fork()
    if child == 0:
        records.records.clear()
        try:
            tokens.token()
        except doorward.TokenRequestRefused:
            records.seen(lambda record: record.name == "doorward.tokens")
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
