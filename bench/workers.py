#!/usr/bin/env python3
"""Two builds of the gateway in interleaved rounds: processor time and context switches of a request, and uneven load.

    python3 bench/workers.py --against OLD_BINARY [--binary NEW_BINARY] [--rounds 5] [--seconds 5] [--connections 64]

`cost`: small requests of one kind, the gateway on core 0 and then on both cores. Processor time and context switches are the
kernel's for all threads of the gateway (`/proc/PID/task`), so they hold on a busy machine too; requests per second do not.
`uneven`: one connection that downloads without a pause, before or after 64 others begin with small requests, on both cores.
Needs nginx, wrk and taskset, and the release binaries: `cargo build --release -p doorward`, `cargo build --release -p dev-issuer
--example run`.
"""

import argparse
import contextlib
import os
import pathlib
import re
import secrets
import statistics
import subprocess
import tempfile
import time
import urllib.request

from gateway import TARGET, free_port, machine_token, nginx, running, sign_in, wait_for


def spent(process):
    """Seconds of processor time and context switches of all threads of a process."""
    seconds = switches = 0
    for task in pathlib.Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
            status = (task / "status").read_text()
            switches += sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)))
    return seconds, switches


def busy(admin):
    """Seconds that each worker was busy; empty for a build without workers."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    found = re.findall(r'^doorward_worker_busy_seconds\{worker="(\d+)"\} (\S+)', text, re.MULTILINE)
    return [float(seconds) for _, seconds in sorted(found)]


def milliseconds(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def wrk(url, seconds, connections, header=None, core="1"):
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-H", header] if header else []
    return subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)


def figures(process):
    """Number of requests, and their p50 and p99 in milliseconds."""
    out = process.communicate()[0]
    if process.returncode or "Non-2xx" in out:
        raise SystemExit(f"not every answer was 2xx:\n{out}")
    number = int(re.search(r"(\d+) requests in", out).group(1))
    return number, *(milliseconds(re.search(rf"^\s+{p}%\s+(\S+)", out, re.MULTILINE).group(1)) for p in (50, 99))


class Build:
    """One running gateway."""

    def __init__(self, name, binary, cores, folder, upstream, provider, stack):
        self.name, port, self.admin = name, free_port(), free_port()
        self.base = f"http://127.0.0.1:{port}"
        (folder / f"{name}.yaml").write_text(
            f"""
listen: 127.0.0.1:{port}
public_url: {self.base}
admin: 127.0.0.1:{self.admin}
issuers:
  main:
    url: http://127.0.0.1:{provider}/realms/dev
    client_id: gateway
    client_auth: {{ secret: {{ file: {folder}/secret }} }}
    audience: [gateway]
session:
  store: {{ embedded: {{ path: {folder}/{name}.redb }} }}
  key: {{ file: {folder}/key }}
routes:
  open: {{ match: {{ path: /open }}, upstream: "http://127.0.0.1:{upstream}", access: [ {{ allow: anyone }} ] }}
  closed: {{ match: {{ path: /closed }}, upstream: "http://127.0.0.1:{upstream}", access: [ {{ allow: [ {{ roles: [data-scientist] }}, {{ clients: [gateway] }} ] }} ] }}
"""
        )
        command = [binary, "serve", "--config", folder / f"{name}.yaml"]
        self.process = stack.enter_context(running(cores, *command, log=folder / f"{name}.out")).pid
        for each in (port, self.admin):
            wait_for(each)
        time.sleep(1)


def cost(builds, kinds, options, cores):
    print(f"\n{'one core' if cores == '0' else 'two cores, shared with the load'}: the median of {options.rounds} rounds")
    print("| request | build | µs of processor time | context switches | requests/s | p99 |\n|---|---|---|---|---|---|")
    for kind, path, headers in kinds:
        seen = {build.name: [] for build in builds}
        for turn in range(options.rounds):
            for build in builds if turn % 2 else builds[::-1]:
                url, header = build.base + path, headers(build)
                figures(wrk(url, 1, options.connections, header))
                before = spent(build.process)
                number, _, p99 = figures(wrk(url, options.seconds, options.connections, header))
                seconds, switches = (after - early for after, early in zip(spent(build.process), before))
                seen[build.name].append((1e6 * seconds / number, switches / number, number / options.seconds, p99))
        for name, rows in seen.items():
            micro, switches, rate, p99 = (statistics.median(column) for column in zip(*rows))
            print(f"| {kind} | {name} | {micro:.1f} | {switches:.2f} | {rate:,.0f} | {p99:.2f} ms |", flush=True)
        if len(builds) == 2:
            old, new = (seen[build.name] for build in builds)
            ratios = [statistics.median(b[n] / a[n] for a, b in zip(old, new)) for n in (0, 2)]
            print(f"| {kind} | ratio, round by round | × {ratios[0]:.2f} | | × {ratios[1]:.2f} | |", flush=True)


def uneven(builds, options):
    print(f"\nOne heavy stream and {options.connections} connections with small requests: the median of {options.rounds} rounds")
    print("| heavy stream | build | light requests/s | p50 | p99 | downloads of 64 MiB | busy part of each worker |\n|---|---|---|---|---|---|---|")
    for first in (True, False):
        seen = {build.name: [] for build in builds}
        for turn in range(options.rounds):
            for build in builds if turn % 2 else builds[::-1]:
                start = lambda path, seconds, connections: wrk(build.base + path, seconds, connections, core="0,1")
                longer = options.seconds + 2
                early = start("/open/large", longer, 1) if first else start("/open/x", longer, options.connections)
                time.sleep(1)
                before, began = busy(build.admin), time.monotonic()
                late = start("/open/x", options.seconds, options.connections) if first else start("/open/large", options.seconds, 1)
                light, heavy = (late, early) if first else (early, late)
                late.wait()
                parts = [round((after - early) / (time.monotonic() - began), 2) for after, early in zip(busy(build.admin), before)]
                number, p50, p99 = figures(light)
                downloads = figures(heavy)[0]
                seen[build.name].append((number / (options.seconds if first else longer), p50, p99, downloads, sorted(parts)))
        for name, rows in seen.items():
            *columns, parts = zip(*rows)
            rate, p50, p99, downloads = map(statistics.median, columns)
            shares = ", ".join(f"{statistics.median(column):.2f}" for column in zip(*parts)) or "unknown"
            print(f"| {'before' if first else 'after'} the others | {name} | {rate:,.0f} | {p50:.2f} ms | {p99:.2f} ms | {downloads:.0f} | {shares} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", default=TARGET / "release/doorward", help="the build to judge")
    parser.add_argument("--against", help="the build to compare it with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="doorward-bench-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        folder.chmod(0o711)  # nginx serves the large file as another user
        (folder / "secret").write_text("secret")
        (folder / "key").write_text(secrets.token_hex(32))
        (folder / "files/open").mkdir(parents=True)
        (folder / "files/open/large").write_bytes(bytes(64 << 20))
        upstream, provider = free_port(), free_port()
        body = "x" * 256
        server = f'server {{ listen 127.0.0.1:{upstream}; root {folder}/files; location / {{ return 200 "{body}"; }} location = /open/large {{ }} }}'
        stack.enter_context(running("1", *nginx(folder, "upstream", upstream, server), log=folder / "upstream.out"))
        stack.enter_context(running("1", TARGET / "release/examples/run", f"127.0.0.1:{provider}", log=folder / "provider.out"))
        wait_for(upstream)
        wait_for(provider)
        issuer = f"http://127.0.0.1:{provider}/realms/dev"
        binaries = [("before", options.against)] if options.against else []
        binaries.append(("now", options.binary))
        for cores in ("0", "0,1"):
            with contextlib.ExitStack() as gateways:
                builds = [Build(name, binary, cores, folder, upstream, provider, gateways) for name, binary in binaries]
                cookies = {build.name: sign_in(build.base, "/closed") for build in builds}
                kinds = [
                    ("public", "/open/x", lambda build: None),
                    ("session", "/closed", lambda build: f"Cookie: {cookies[build.name]}"),
                    ("bearer", "/closed", lambda build: f"Authorization: Bearer {machine_token(issuer)}"),
                ]
                cost(builds, kinds, options, cores)
                if cores != "0":
                    uneven(builds, options)
            for build in builds:
                (folder / f"{build.name}.redb").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
