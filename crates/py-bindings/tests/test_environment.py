"""Trust settings and proxies of the environment, and the effects of importing the package."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import doorward
import doorward_testing
from doorward import _native
from doorward.testing import Issuer

from .conftest import Api


@dataclass
class Secure:
    """An issuer over TLS whose certificate no system trusts."""

    url: str
    ca_file: Path


@pytest.fixture
def secure(issuer: Issuer, tmp_path: Path) -> Iterator[Secure]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-keyout", key, "-out", certificate, "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )
    with urllib.request.urlopen(issuer.url + "/protocol/openid-connect/certs") as answer:
        keys = answer.read()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = {"issuer": url, "jwks_uri": url + "/keys"}
            body = keys if self.path == "/keys" else json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    url = f"https://127.0.0.1:{server.server_port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Secure(url, certificate)
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_an_unknown_certificate_is_not_trusted(issuer: Issuer, secure: Secure) -> None:
    verifier = doorward.Issuer(secure.url).verifier("churn")
    with pytest.raises(doorward.IssuerMisconfigured, match="certificate.*ca_file"):
        verifier.verify(issuer.mint(audience="churn", issuer=secure.url))


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "ca_file"])
def test_certificates_are_trusted_where_others_trust_them(
    issuer: Issuer, secure: Secure, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "ca_file":
        made = doorward.Issuer(secure.url, ca_file=secure.ca_file)
    else:
        monkeypatch.setenv(name, str(secure.ca_file))
        made = doorward.Issuer(secure.url)
        # The settings at the time it was made count.
        monkeypatch.delenv(name)
    assert made.verifier("churn").verify(issuer.mint(audience="churn", issuer=secure.url)).issuer == secure.url


def test_an_invalid_certificate_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with pytest.raises(doorward.ConfigurationError, match="REQUESTS_CA_BUNDLE names .*absent.pem"):
        doorward.Issuer("https://id.example")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(doorward.ConfigurationError, match="empty.pem"):
        doorward.Issuer("https://id.example", ca_file=empty)


def test_an_invalid_client_certificate_is_refused_when_given(issuer: Issuer, tmp_path: Path) -> None:
    made = doorward.Issuer(issuer.url)
    for certificate in (tmp_path / "absent.pem", (tmp_path / "a.pem", str(tmp_path / "b.pem"))):
        with pytest.raises(doorward.ConfigurationError):
            made.client_credentials("client", certificate=certificate)


def test_a_proxy_is_used_unless_the_host_is_excluded(
    issuer: Issuer, make_api: Callable[[], Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = make_api()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    url = "http://issuer.invalid/realms/dev"
    token = issuer.mint(audience="churn", issuer=url)

    def verify() -> None:
        made = doorward.Issuer(url, dangerous_allow_http=["issuer.invalid"])
        with pytest.raises((doorward.IssuerUnavailable, doorward.IssuerMisconfigured)):
            made.verifier("churn").verify(token)

    verify()
    assert [request.path for request in proxy.seen][:1] == [url + "/.well-known/openid-configuration"]
    seen = len(proxy.seen)
    monkeypatch.setenv("NO_PROXY", "issuer.invalid")
    verify()
    assert len(proxy.seen) == seen


def test_loopback_is_reached_without_a_proxy(
    issuer: Issuer, make_api: Callable[[], Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = make_api()
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert doorward.Issuer(issuer.url).verifier("churn").verify(issuer.mint(audience="churn"))
    assert not proxy.seen


def test_a_socks_proxy_is_unsupported_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(doorward.IssuerUnavailable, match="unsupported scheme socks5"):
        # Loopback is reached without a proxy.
        doorward.Issuer("https://id.invalid").client_credentials("client", secret="secret").token()


def test_adapters_are_imported_when_they_are_used() -> None:
    program = "import sys, doorward; print([name for name in ('asyncio', 'ssl', 'httpx', 'requests', 'aiohttp') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_thread_runs_before_the_first_request() -> None:
    program = """
import os, doorward
verifier = doorward.Issuer("https://id.example").verifier("churn")
tokens = verifier and doorward.Issuer("https://id.example").client_credentials("job", secret="-")
print(len(os.listdir("/proc/self/task")))
"""
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc here")
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"


def test_the_fixture_is_there_without_an_import(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import doorward

        def test_stale(issuer, doorward_issuer):
            assert issuer is doorward_issuer
            with pytest.raises(doorward.TokenExpired):
                issuer.verifier("churn").verify(issuer.mint(audience="churn", expired=True))

        def test_each_test_has_its_own(issuer):
            assert issuer.requests("all") == 0
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_test_issuer_fails_and_recovers_on_demand(issuer: Issuer) -> None:
    verifier = issuer.verifier("churn")
    old = issuer.mint(audience="churn")
    first = issuer.key_id
    assert issuer.rotate() == issuer.key_id != first
    assert verifier.verify(old)
    issuer.remove_old_keys()
    with pytest.raises(doorward.UnknownKey):
        issuer.verifier("churn").verify(old)
    issuer.fail("keys", answer="garbage")
    with pytest.raises(doorward.IssuerUnavailable):
        issuer.verifier("churn").verify(issuer.mint(audience="churn"))
    issuer.heal()
    assert issuer.verifier("churn").verify(issuer.mint(audience="churn"))
    for wrong in ({"endpoint": "kitchen"}, {"status": 500, "delay": 1.0}, {}):
        with pytest.raises(ValueError, match=r"is not one of|pass one of"):
            issuer.fail(**wrong)
    with pytest.raises(ValueError, match="unknown option of mint"):
        issuer._mint("access", "alice", {"colour": "red"})
    issuer.close()
    issuer.close()
    with pytest.raises(RuntimeError, match="closed"):
        issuer.mint()


def test_one_name_is_not_read_as_its_characters(issuer: Issuer) -> None:
    token = issuer.mint(audience="churn", roles="scorer", groups="/finance", client_roles={"churn": "admin"})
    claims = issuer.verifier("churn").verify(token)
    assert claims.roles == {"scorer"} and claims.groups == {"/finance"} and claims.client_roles("churn") == {"admin"}


def test_threads_can_mint_for_the_same_user(issuer: Issuer) -> None:
    class Known(set[str]):
        def add(self, name: str) -> None:
            super().add(name)
            # Another thread that finds the name here mints for it at once.
            assert issuer.mint(name)

    issuer.__dict__["_people"] = Known()
    issuer.add_user("alice")


def test_awaiting_twice_is_an_error(tokens: doorward.TokenSource) -> None:
    waiting = tokens.token_async()

    async def main() -> None:
        assert await waiting
        with pytest.raises(RuntimeError, match="already awaited"):
            await waiting

    asyncio.run(main())


def test_help_equals_the_stubs() -> None:
    compared = 0
    for module in (_native, doorward_testing._native):
        stubs = ast.parse(Path(str(module.__file__)).with_name("_native.pyi").read_text(encoding="utf-8"))
        for function in (node for node in stubs.body if isinstance(node, ast.FunctionDef)):
            assert inspect.getdoc(getattr(module, function.name)) == ast.get_docstring(function), function.name
        for kind in (node for node in stubs.body if isinstance(node, ast.ClassDef)):
            native = getattr(module, kind.name)
            documented = {"": ast.get_docstring(kind)}
            documented |= {node.name: ast.get_docstring(node) for node in kind.body if isinstance(node, ast.FunctionDef)}
            for name, text in documented.items():
                if text and not name.startswith("__"):
                    assert inspect.getdoc(getattr(native, name) if name else native) == text, f"{kind.name}.{name}"
                    compared += 1
    assert compared > 60


def test_every_public_name_has_help() -> None:
    kinds = (doorward.Client, doorward.PendingLogin, doorward.TokenSet)
    for kind in (doorward.Issuer, doorward.Gateway, doorward.Verifier, doorward.Claims, doorward.TokenSource, *kinds, Issuer):
        assert kind.__doc__
        silent = [name for name in dir(kind) if not name.startswith("_") and not getattr(kind, name).__doc__]
        assert silent == [], kind
