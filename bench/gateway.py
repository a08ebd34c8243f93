#!/usr/bin/env python3
"""Requests per second through the gateway next to plain nginx, in one run.

The proxy under test is pinned to core 0; `wrk` and the nginx upstream share core 1. Shared machines are noisy:
read the ratio to nginx, not the figures alone. Needs nginx, wrk and taskset; builds the release binaries itself.

    python3 bench/gateway.py [--seconds 10] [--connections 64]
"""

import argparse
import contextlib
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))

from identity import Provider, sign_in
from machine import free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


@contextlib.contextmanager
def running(core, *command, log):
    """Runs a program on one core until the block ends."""
    with open(log, "wb") as out:
        process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(port, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on 127.0.0.1:{port}")


def nginx(folder, name, port, location):
    conf = folder / f"{name}.conf"
    conf.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/{name}-body;
proxy_temp_path {folder}/{name}-proxy; fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
{location} }}"""
    )
    return ["nginx", "-p", str(folder), "-c", str(conf)]


def machine_token(issuer):
    """An access token of the program `gateway`."""
    return next(Provider(urllib.parse.urlsplit(issuer).port).tokens(1))


def load(url, seconds, connections, header=None):
    """wrk's figures: requests per second, p50 and p99."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if header:
        command += ["-H", header]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"not every answer was 2xx:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p50, p99 = (re.search(rf"^\s+{p}%\s+(\S+)", out, re.MULTILINE).group(1) for p in (50, 99))
    return rate, p50, p99


def main():
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as folder:
        measure(pathlib.Path(folder))


def measure(folder):
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--no-build", action="store_true", help="measure the release binaries that are there")
    options = options.parse_args()
    if not options.no_build:
        build = ["cargo", "build", "--release", "--quiet"]
        subprocess.run([*build, "-p", "doorward"], cwd=ROOT, check=True)
        subprocess.run([*build, "-p", "dev-issuer", "--example", "run"], cwd=ROOT, check=True)
    upstream, plain, provider, gateway, admin = (free_port() for _ in range(5))
    body = "x" * 256
    (folder / "secret").write_text("secret")
    (folder / "key").write_text(secrets.token_hex(32))
    (folder / "doorward.yaml").write_text(
        f"""
listen: 127.0.0.1:{gateway}
public_url: http://127.0.0.1:{gateway}
admin: 127.0.0.1:{admin}
issuers:
  main:
    url: http://127.0.0.1:{provider}/realms/dev
    client_id: gateway
    client_auth: {{ secret: {{ file: {folder}/secret }} }}
    audience: [gateway]
session:
  store: {{ embedded: {{ path: {folder}/sessions.redb }} }}
  key: {{ file: {folder}/key }}
routes:
  open: {{ match: {{ path: /open }}, upstream: "http://127.0.0.1:{upstream}", access: [ {{ allow: anyone }} ] }}
  closed: {{ match: {{ path: /closed }}, upstream: "http://127.0.0.1:{upstream}", access: [ {{ allow: [ {{ roles: [data-scientist] }}, {{ clients: [gateway] }} ] }} ] }}
"""
    )
    with contextlib.ExitStack() as stack:
        start = lambda core, *command, name: stack.enter_context(running(core, *command, log=folder / f"{name}.out"))
        start(1, *nginx(folder, "upstream", upstream, f'server {{ listen 127.0.0.1:{upstream}; location / {{ return 200 "{body}"; }} }}'), name="upstream")
        start(
            0,
            *nginx(
                folder,
                "plain",
                plain,
                f"upstream u {{ server 127.0.0.1:{upstream}; keepalive 128; }} server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://u; "
                'proxy_http_version 1.1; proxy_set_header Connection ""; } }',
            ),
            name="plain",
        )
        start(1, TARGET / "release/examples/run", f"127.0.0.1:{provider}", name="provider")
        wait_for(provider)
        start(0, TARGET / "release/doorward", "serve", "--config", folder / "doorward.yaml", name="gateway")
        for port in (upstream, plain, gateway, admin):
            wait_for(port)
        base = f"http://127.0.0.1:{gateway}"
        cookie = sign_in(base, "/closed")
        token = machine_token(f"http://127.0.0.1:{provider}/realms/dev")
        rows = [
            ("nginx, plain proxy, no checks", f"http://127.0.0.1:{plain}/closed", None),
            ("doorward, public route", f"{base}/open", None),
            ("doorward, session cookie", f"{base}/closed", f"Cookie: {cookie}"),
            ("doorward, bearer token", f"{base}/closed", f"Authorization: Bearer {token}"),
        ]
        reference = None
        print("| server | requests/s | to nginx | p50 | p99 |\n|---|---|---|---|---|")
        for name, url, header in rows:
            load(url, 2, options.connections, header)
            rate, p50, p99 = load(url, options.seconds, options.connections, header)
            reference = reference or rate
            print(f"| {name} | {rate:,.0f} | {rate / reference:.2f} | {p50} | {p99} |", flush=True)


if __name__ == "__main__":
    main()
