"""Stops the servers of people who did not use them through the gateway for some time.

Asks the gateway who used the route when (`GET /activity`), and the hub which servers run. Needs nothing but Python.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlencode


def duration(text: str) -> timedelta:
    """A duration such as `90s`, `30m` or `4h`."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}; write 90s, 30m, 4h or 2d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def at(text: str) -> datetime:
    """A time as the gateway and the hub write it: RFC 3339, with up to nine digits of a second."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00"))


def ask(url: str, authorization: str | None, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method, headers={"Accept": "application/json"})
    if authorization:
        request.add_header("Authorization", authorization)
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def last_used(gateways: list[str], route: str) -> tuple[dict[str, datetime], datetime]:
    """When each person last used the route at any gateway, and from when on all gateways know it."""
    token = os.environ.get("DOORWARD_ADMIN_TOKEN")
    used: dict[str, datetime] = {}
    since = []
    for gateway in gateways:
        answer = ask(f"{gateway}/activity?{urlencode({'route': route})}", token and f"Bearer {token}")
        since.append(at(answer["since"]))
        for use in answer["activity"]:
            # The hub's names are in lower case.
            name = (use["user"] or use["subject"]).lower()
            used[name] = max(at(use["last_activity"]), used.get(name, since[-1]))
    return used, max(since)


def running(hub: str, authorization: str) -> list[tuple[str, dict[str, Any]]]:
    """The servers that are ready, each with its user's name."""
    found: list[tuple[str, dict[str, Any]]] = []
    offset = 0
    while True:
        users = ask(f"{hub}/users?{urlencode({'state': 'ready', 'offset': offset, 'limit': 200})}", authorization)
        if not users:
            return found
        offset += len(users)
        for user in users:
            found += [(user["name"], server) for server in user["servers"].values() if server["ready"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", action="append", required=True, help="its admin listener; once for each replica")
    parser.add_argument("--hub", required=True, help="the hub's API, such as http://127.0.0.1:8081/hub/api")
    parser.add_argument("--route", required=True, help="the route that leads to people's servers")
    parser.add_argument("--idle", type=duration, required=True, help="such as 4h")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be stopped")
    options = parser.parse_args()

    authorization = f"token {os.environ['JUPYTERHUB_API_TOKEN']}"
    servers = running(options.hub, authorization)
    used, since = last_used(options.gateway, options.route)
    now = datetime.now(timezone.utc)
    failed = 0
    for user, server in servers:
        # A server that has just started is in use although its page is not open yet.
        last = max(used.get(user, since), at(server["started"]))
        if now - last < options.idle:
            continue
        print(f"{user} {server['name'] or '(default)'}: last used {last:%Y-%m-%d %H:%M:%S} UTC", flush=True)
        if options.dry_run:
            continue
        named = f"servers/{quote(server['name'], safe='')}" if server["name"] else "server"
        try:
            ask(f"{options.hub}/users/{quote(user, safe='')}/{named}", authorization, "DELETE")
        except urllib.error.URLError as error:
            print(f"{user}: not stopped: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
