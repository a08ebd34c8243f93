"""The ground of every server of the comparison: a folder, the upstreams, the provider and a certificate."""

import contextlib
import os
import pathlib
import subprocess

import machine
from identity import Provider
from machine import Process, command, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CACHE = pathlib.Path(os.environ.get("DOORWARD_CACHE", pathlib.Path.home() / ".cache/doorward"))
PEERS = CACHE / "peers"
HERE = pathlib.Path(__file__).resolve().parent

BODY = "x" * 256
BIG = 10 * 1000 * 1000


def build(profile):
    """Builds the gateway, the provider and the tools; the folder of the binaries."""
    flags = ["--release"] if profile == "release" else []
    words = ["cargo", "build", "--quiet", "--locked", *flags]
    if "DOORWARD_BIN" not in os.environ:
        subprocess.run([*words, "-p", "doorward"], cwd=ROOT, check=True)
    subprocess.run([*words, "-p", "bench-peers"], cwd=ROOT, check=True)
    subprocess.run([*words, "-p", "dev-issuer", "--example", "run"], cwd=ROOT, check=True)


class Setup:
    """The running parts. `subjects` has a row for each way through a server that could be started."""

    def __init__(self, folder, stack, profile):
        self.folder, self.processes = folder, []
        stack.callback(self.stop)
        self.proxy_core, self.load_core = machine.two_cores()
        binaries = TARGET / profile
        self.doorward = os.environ.get("DOORWARD_BIN", binaries / "doorward")
        self.tools = binaries / "bench-peers"
        # Servers that leave root read these files as another user; every secret in here ends with the run.
        folder.chmod(0o755)
        subprocess.run([self.tools, "certificate", folder], check=True)
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        (folder / "both.pem").write_text(self.certificate.read_text() + self.key.read_text())
        self.subjects = []
        self.provider = Provider(free_port())
        self.start_parts(binaries / "examples/run")

    def start_parts(self, provider):
        self.upstream, self.echo, self.sink, self.grpc = (free_port() for _ in range(4))
        for area in ("open", "closed", "closed/tokens"):
            files = self.folder / "files" / area
            files.mkdir(parents=True)
            (files / "big").write_bytes(b"x" * BIG)
        conf = self.nginx(
            "upstream",
            f"server {{ listen 127.0.0.1:{self.upstream}; add_header X-Upstream bench; "
            f'location / {{ return 200 "{BODY}"; }} location ~ /big$ {{ root {self.folder}/files; }} }}',
        )
        for name, port, *words in (
            ("upstream", self.upstream, *conf),
            ("echo", self.echo, self.tools, "echo", f"127.0.0.1:{self.echo}"),
            ("sink", self.sink, self.tools, "sink", f"127.0.0.1:{self.sink}"),
            ("grpc", self.grpc, self.tools, "grpc", f"127.0.0.1:{self.grpc}"),
            ("provider", self.provider.port, provider, f"127.0.0.1:{self.provider.port}"),
        ):
            wait_for(port, self.start(name, words, core=self.load_core))

    def start(self, name, words, core=None, environment=None):
        """Starts a program, by default on the core of proxies; the run's end stops it."""
        core = self.proxy_core if core is None else core
        process = Process(name, core, words, self.folder / f"{name}.out", environment)
        self.processes.append(process)
        return process

    def stop(self):
        """Asks every process to end before it waits for the first, because a gateway takes seconds to drain."""
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            process.wait()

    def ready(self, name, words, *ports, environment=None):
        """Starts a program, and returns once it listens."""
        process = self.start(name, words, environment=environment)
        for port in ports:
            wait_for(port, process)
        return process

    def nginx(self, name, http):
        """Writes a configuration of nginx with one worker and without a log; the words of its command."""
        own = self.folder / name
        own.mkdir()
        own.chmod(0o777)
        temporary = " ".join(
            f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf = self.folder / f"{name}.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {own}/pid; error_log stderr error;\n"
            "events { worker_connections 8192; }\n"
            "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_max_body_size 0;\n"
            f"{temporary}\n{http} }}\n"
        )
        return [command("nginx"), "-p", str(own), "-c", str(conf), "-e", "stderr"]

    def debian(self, name):
        """A program that install.sh unpacked, else the system's, with the folder of its libraries."""
        unpacked = PEERS / "debian/usr"
        path = command(name, unpacked / "sbin", unpacked / "bin")
        libraries = [folder for folder in unpacked.glob("lib/*-linux-gnu") if path.startswith(str(unpacked))]
        return path, {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))} if libraries else {}

    def fetched(self, part, name):
        """A program that install.sh fetched; the reason where it could not."""
        with contextlib.suppress(FileNotFoundError):
            raise machine.Unavailable((PEERS / f"{part}.reason").read_text().strip())
        return command(name, PEERS / part)
