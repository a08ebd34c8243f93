"""The cases that are measured: each sends its load from the second core and returns figures, or fails with a reason."""

import http.client
import json
import pathlib
import re
import subprocess

import setup
from identity import sign_in
from machine import Failed

TIMEOUT = 120


class Case:
    """A kind of load. `unit` is what its rate counts, `per` what the processor's time is divided by."""

    title, unit, per = "", "requests/s", "request"
    factor = 1
    warm_up = True

    def __init__(self, s, options):
        self.s, self.options = s, options

    def prepare(self):
        """Makes ready for a round."""

    def measure(self, subject, headers, seconds):
        raise NotImplementedError

    def check(self, subject, headers):
        """Fails unless the subject answers 200 with the upstream's answer, before and after a measurement."""

    def on_load_core(self, *words):
        """The output of a program on the core of the load."""
        pinned = ["taskset", "-c", str(self.s.load_core), *map(str, words)]
        done = subprocess.run(pinned, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
            raise Failed(next((line for line in lines if line.startswith("Error:")), lines[-1])[:300])
        return done.stdout


class Wrk(Case):
    """Requests of HTTP/1.1 by `wrk`."""

    path, body = "/small", None

    def measure(self, subject, headers, seconds):
        flags = [f"-H{name}: {value}" for name, value in headers.items()]
        url = subject.base + subject.area + self.path
        arguments = ["--", self.body] if self.body else []
        script = setup.HERE / "report.lua"
        connections = self.connections()
        # wrk counts a wait beyond its time-out as an error, and 10 MB over many connections take long.
        out = self.on_load_core(
            "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", script, *flags, url, *arguments
        )
        figures = json.loads(out.rpartition("JSON ")[2])
        if figures.pop("errors"):
            raise Failed("not every answer was 2xx:\n" + out)
        return figures

    def connections(self):
        return self.options.connections

    def check(self, subject, headers):
        answer, content = self.ask(subject, headers)
        if answer.status != 200 or answer.getheader("X-Upstream") != "bench" or content != self.expected():
            raise Failed(f"{answer.status} instead of the upstream's answer: {content[:120]!r}")

    def ask(self, subject, headers):
        connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=TIMEOUT)
        method, body = ("POST", b"x" * self.body) if self.body else ("GET", None)
        connection.request(method, subject.area + self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def expected(self):
        return setup.BODY.encode()


class Get(Wrk):
    title = "Small GET: 256 bytes, {connections} connections"

    def check(self, subject, headers):
        super().check(subject, headers)
        if subject.credential:
            for wrong in ({}, {name: broken(value) for name, value in headers.items()}):
                answer, _ = self.ask(subject, wrong)
                if answer.status == 200 or answer.getheader("X-Upstream"):
                    raise Failed("a request without a good credential reached the upstream")


class ForwardAuth(Wrk):
    title = "nginx asks about each request (`auth_request`), {connections} connections"


class Transfer(Wrk):
    unit, per, factor = "MB/s", "10 MB", setup.BIG / 1e6

    def connections(self):
        return 8


class Download(Transfer):
    title, path = "Download of 10 MB, 8 connections", "/big"

    def expected(self):
        return b"x" * setup.BIG


class Upload(Transfer):
    title, path, body = "Upload of 10 MB, 8 connections", "/upload", setup.BIG

    def expected(self):
        return str(setup.BIG).encode()


class Tool(Case):
    """Load by `bench-peers`, which itself fails on a wrong answer."""

    def figures(self, *words):
        return json.loads(self.on_load_core(self.s.tools, *words))


class WebSocket(Tool):
    title = "WebSocket: round trips of 128 bytes, {connections} connections"
    unit, per = "round trips/s", "round trip"

    def measure(self, subject, headers, seconds):
        flags = [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
        words = ["--connections", self.options.connections, "--seconds", seconds, *flags]
        return self.figures("websockets", f"127.0.0.1:{subject.port}", subject.area + "/ws", *words)


class Handshake(Tool):
    title = "TLS 1.3: connections with a full handshake (ECDSA P-256, X25519) and one request, 8 at once"
    unit, per, flags = "connections/s", "connection", ()

    def measure(self, subject, headers, seconds):
        words = ["--certificate", self.s.certificate, "--seconds", seconds, *self.flags]
        return self.figures("handshakes", f"127.0.0.1:{subject.tls_port}", subject.area + "/small", *words)


class Resumed(Handshake):
    title = "TLS 1.3: connections with a resumed handshake (X25519) and one request, 8 at once"
    flags = ("--resume",)


class Hybrid(Handshake):
    title = "TLS 1.3: connections with a full handshake after X25519MLKEM768, and one request, 8 at once"
    flags = ("--post-quantum",)


class Http2(Case):
    """Requests of HTTP/2 over TLS by `h2load`."""

    title = "HTTP/2 over TLS: small GET, 16 connections with 4 streams each"
    path, flags, size = "/small", (), len(setup.BODY)

    def measure(self, subject, headers, seconds):
        program, environment = self.s.debian("h2load")
        log = self.s.folder / "h2load.log"
        log.unlink(missing_ok=True)
        flags = [f"-H{name.lower()}: {value}" for name, value in headers.items()]
        libraries = [f"{name}={value}" for name, value in environment.items()]
        out = self.on_load_core(
            "env", *libraries, program, "-t1", "-c16", "-m4", f"-D{seconds}", f"--log-file={log}", *self.flags, *flags,
            f"https://127.0.0.1:{subject.tls_port}{subject.area}{self.path}",
        )  # fmt: skip
        rows = [line.split("\t") for line in log.read_text().splitlines()]
        if "Application protocol: h2" not in out or re.search(r"[1-9]\d* (failed|errored|timeout)", out) or not rows:
            raise Failed("not every request got its answer:\n" + out)
        if any(status != "200" for _, status, _ in rows):
            raise Failed("not every answer was 200")
        # A refused call is 200 too, but without a message.
        if int(re.search(r"\((\d+)\) data", out).group(1)) < len(rows) * self.size:
            raise Failed("not every answer came from the upstream:\n" + out)
        took = sorted(int(microseconds) for _, _, microseconds in rows)
        at = lambda part: took[min(len(took) - 1, int(len(took) * part))]
        return {"count": len(took), "seconds": seconds, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999)}


class Grpc(Http2):
    title = "gRPC: unary calls of 128 bytes over TLS, 16 connections with 4 streams each"
    unit, per, path, size = "calls/s", "call", ".Echo/Call", 5 + 128

    def prepare(self):
        message = self.s.folder / "call.bin"
        message.write_bytes(b"\0" + (128).to_bytes(4, "big") + b"x" * 128)
        self.flags = ("-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers")


class FirstSeen(Tool):
    title = "Each request with another valid token (RS256), {connections} connections"
    warm_up = False

    def prepare(self):
        self.tokens = pathlib.Path(self.s.folder / "tokens")
        self.tokens.write_text("\n".join(self.s.provider.tokens(self.options.tokens)))

    def measure(self, subject, headers, seconds):
        words = [subject.area + "/small", self.tokens, "--connections", self.options.connections]
        return self.figures("first-seen", f"127.0.0.1:{subject.port}", *words)


def broken(credential):
    """The same credential with another end, where its signature or seal is."""
    return credential[:-30] + "A" * 30


CASES = {
    "get": Get,
    "download": Download,
    "upload": Upload,
    "websocket": WebSocket,
    "handshake-full": Handshake,
    "handshake-resumed": Resumed,
    "handshake-hybrid": Hybrid,
    "http2": Http2,
    "grpc": Grpc,
    "forward-auth": ForwardAuth,
    "first-seen": FirstSeen,
}


def credentials(s, subject, sessions):
    """The headers that let a request of this subject pass."""
    if subject.credential == "bearer":
        if "bearer" not in sessions:
            sessions["bearer"] = next(s.provider.tokens(1))
        return {"Authorization": f"Bearer {sessions['bearer']}"}
    if subject.credential == "cookie":
        if subject.base not in sessions:
            sessions[subject.base] = sign_in(subject.base, *subject.session)
        return {"Cookie": sessions[subject.base]}
    return {}
