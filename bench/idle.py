#!/usr/bin/env python3
"""Memory of the gateway for a connection that is open and quiet, or sends its head byte by byte.

Resident memory of the running gateway with many connections of a kind, less that without them, divided by their number. The
allocator returns unused memory at once: what it keeps for reuse after a burst of connections belongs to none of them. `--kept`
counts that too.

    python3 bench/idle.py [--connections 2000] [--binary target/release/doorward]
"""

import argparse
import asyncio
import base64
import hashlib
import os
import pathlib
import resource
import socket
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HANDSHAKE = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIELDS = (
    "Host: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0\r\nAccept: */*\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: theme=dark\r\n"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def upstream(reader, writer):
    """Answers requests, and upgrades those that ask for it."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            if key := fields.get(b"sec-websocket-key"):
                line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
                key = line.split(b": ", 1)[1].decode()
                accept = base64.b64encode(hashlib.sha1((key + HANDSHAKE).encode()).digest()).decode()
                writer.write(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
                )
                await reader.read()
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\n\r\n" + b"x" * 256)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def quiet(port):
    """A connection that has sent a request, and waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /data HTTP/1.1\r\n{FIELDS}\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await reader.readexactly(256)
    return writer


async def websocket(port):
    """A WebSocket without messages."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /live HTTP/1.1\r\n{FIELDS}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return writer


async def slow(port):
    """A head that does not end: a piece of 20 bytes now and then."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /data HTTP/1.1\r\nHost: localhost\r\n")
    for piece in range(20):
        await asyncio.sleep(0.2)
        writer.write(f"X-Piece-{piece:02}: 1234567\r\n".encode())
        await writer.drain()
    return writer


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


async def opened(kind, port, count):
    writers = []
    for _ in range(0, count, 10):
        writers += await asyncio.gather(*(kind(port) for _ in range(min(10, count - len(writers)))))
    return writers


async def together(kind, port, count):
    """All at once: they would be too old before the last one is open."""
    return await asyncio.gather(*(kind(port) for _ in range(count)))


async def measure(options, name, kind, opens):
    with tempfile.TemporaryDirectory(prefix="doorward-idle-") as folder:
        folder = pathlib.Path(folder)
        up, port, admin = free_port(), free_port(), free_port()
        server = await asyncio.start_server(upstream, "127.0.0.1", up, backlog=4096)
        (folder / "key").write_text("0123456789abcdef0123456789abcdef")
        (folder / "doorward.yaml").write_text(
            f"""
listen: 127.0.0.1:{port}
public_url: http://localhost:{port}
admin: 127.0.0.1:{admin}
limits: {{ connections: 10000, per_address: 10000, first_head: 60s, head: 60s }}
issuers: {{ main: {{ url: "http://127.0.0.1:9", client_id: gateway, client_auth: none }} }}
session: {{ store: {{ embedded: {{ path: {folder}/sessions.redb }} }}, key: {{ file: {folder}/key }} }}
log: {{ level: error }}
routes:
  app: {{ match: {{ host: localhost, path: / }}, upstream: "http://127.0.0.1:{up}", access: [ {{ allow: anyone }} ] }}
"""
        )
        command = [options.binary, "serve", "--config", folder / "doorward.yaml"]
        with open(folder / "log", "wb") as log:
            environment = dict(os.environ) if options.kept else {**os.environ, "MIMALLOC_PURGE_DELAY": "0"}
            gateway = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        try:
            for _ in range(200):
                await asyncio.sleep(0.1)
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            else:
                raise SystemExit((folder / "log").read_text())
            # Code and tables that every connection shares are in memory before the count begins.
            shared = await opens(kind, port, 50)
            await asyncio.sleep(1)
            before = resident(gateway.pid)
            writers = await opens(kind, port, options.connections)
            # A connection is quiet after at most two seconds without a request.
            await asyncio.sleep(5)
            print(f"| {name} | {(resident(gateway.pid) - before) / len(writers):,.0f} |", flush=True)
            for writer in writers + shared:
                writer.close()
        finally:
            gateway.kill()
            gateway.wait(20)
            server.close()


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--connections", type=int, default=2000)
    options.add_argument("--binary", default=str(TARGET / "release/doorward"))
    options.add_argument("--kept", action="store_true", help="count memory that the allocator keeps for reuse too")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options = options.parse_args()
    print("| connection | bytes each |\n|---|---|")
    for kind in (
        ("HTTP/1, quiet after a request", quiet, opened),
        ("WebSocket, quiet", websocket, opened),
        ("head in pieces", slow, together),
    ):
        asyncio.run(measure(options, *kind))


if __name__ == "__main__":
    main()
