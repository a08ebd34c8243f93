#!/usr/bin/env python3
"""Measures the gateway beside other proxies, in interleaved rounds of one run.

The proxy under test has the first core; load, upstream and provider share the second. In each round every server is measured
once for each case, so that noise of the machine meets all of them, and the ratios are of the same round. A server that this
machine cannot have is named with the reason and left out. Needs Linux, nginx, wrk, setpriv, taskset and a Rust toolchain;
install.sh, which runs first, fetches the other proxies.

    python3 bench/peers/run.py [--rounds 5] [--seconds 3] [--cases get,download] [--only bare,nginx,doorward] [--docs]
"""

import argparse
import contextlib
import datetime
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import gateways
import machine
import peers
import picture
import setup
import table
from cases import CASES, credentials
from machine import Failed, Unavailable

PRODUCTS = {
    "bare": peers.bare,
    "nginx": peers.nginx,
    "doorward": gateways.doorward,
    "haproxy": peers.haproxy,
    "envoy": peers.envoy,
    "oauth2-proxy": peers.oauth2_proxy,
    "apache": peers.apache,
}
LIGHT = ["bare", "nginx", "doorward"]
PAGE = setup.ROOT / "docs/concepts/performance.md"
FAULTS = (Failed, Unavailable, OSError, subprocess.TimeoutExpired, ValueError)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=10000, help="of the case first-seen, in each round")
    parser.add_argument("--cases", default=",".join(CASES), help="of " + ", ".join(CASES))
    parser.add_argument("--only", default="", help="of " + ", ".join(PRODUCTS))
    parser.add_argument("--short", action="store_true", help="whether everything works, in debug builds and without heavy peers")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parser.add_argument("--no-fetch", action="store_true", help="leave out what install.sh has not fetched yet")
    parser.add_argument("--output", type=pathlib.Path, default=setup.TARGET / "bench-peers")
    parser.add_argument("--from", dest="earlier", type=pathlib.Path, help="figures.json of an earlier run: write it, measure nothing")
    parser.add_argument("--docs", action="store_true", help=f"write the tables and the picture to {PAGE.name}, too")
    options = parser.parse_args()
    options.cases = chosen(parser, "--cases", options.cases, CASES)
    options.only = chosen(parser, "--only", options.only or ",".join(LIGHT if options.short else PRODUCTS), PRODUCTS)
    if options.short:
        options.rounds, options.seconds, options.tokens = 1, 1, 200
    return options


def chosen(parser, option, text, known):
    words = [word for word in text.split(",") if word]
    unknown = [word for word in words if word not in known]
    if unknown:
        parser.error(f"{option}: unknown {', '.join(unknown)}; use {', '.join(known)}")
    return words


def main():
    # An end by signal stops every process, as an end by error does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    options = arguments()
    if options.earlier:
        write(json.loads(options.earlier.read_text()), options)
        return
    profile = "debug" if options.short else "release"
    if not options.no_fetch and set(options.only) - set(LIGHT):
        subprocess.run(["bash", setup.HERE / "install.sh"], check=True)
    if not options.no_build:
        setup.build(profile)
    report = {
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        "machine": machine.description(),
        "options": {name: getattr(options, name) for name in ("rounds", "seconds", "connections", "tokens")},
        "cases": {},
        "missing": not_chosen(options),
        "failures": [],
    }
    with tempfile.TemporaryDirectory(prefix="doorward-peers-") as folder, contextlib.ExitStack() as stack:
        s = setup.Setup(pathlib.Path(folder), stack, profile)
        subjects = start(s, options, report)
        measure(s, options, subjects, report)
    write(report, options)
    if report["failures"]:
        sys.exit(1)


def not_chosen(options):
    """Servers and cases that the command line left out."""
    left = [name for name in PRODUCTS if name not in options.only] + [name for name in CASES if name not in options.cases]
    return ["not chosen for this run: " + ", ".join(left)] if left else []


def start(s, options, report):
    """Every chosen server that can be had here; the others go to the report with the reason."""
    subjects = []
    for name in options.only:
        try:
            subjects += PRODUCTS[name](s)
        except Unavailable as reason:
            if name in LIGHT:
                raise SystemExit(f"bench-peers: {reason}") from None
            report["missing"].append(f"{name}: {reason}")
            print(f"left out: {report['missing'][-1]}", flush=True)
    return subjects


def measure(s, options, subjects, report):
    """The rounds: in each, every case of every subject once."""
    cases = {}
    for key in options.cases:
        if key in ("http2", "grpc"):
            try:
                s.debian("h2load")
            except Unavailable as reason:
                report["missing"].append(f"case {key}: {reason}")
                continue
        cases[key] = case = CASES[key](s, options)
        report["cases"][key] = {
            "title": case.title.format(connections=options.connections),
            "unit": case.unit,
            "per": case.per,
            "subjects": {
                subject.key: {"name": subject.name, "rounds": []} for subject in subjects if key in subject.cases
            },
        }
    for number in range(1, options.rounds + 1):
        for key, case in cases.items():
            print(f"round {number}/{options.rounds}, {key}", flush=True)
            case.prepare()
            sessions = {}
            for subject in subjects:
                if key in subject.cases:
                    figures = None
                    try:
                        figures = one(s, case, subject, sessions, options)
                        print(f"  {subject.key:24} {figures['rate']:12,.1f} {case.unit}", flush=True)
                    except FAULTS as reason:
                        report["failures"].append(f"{key}, {subject.name}, round {number}: {reason}")
                        print(f"  {subject.key:24} failed: {reason}", flush=True)
                    report["cases"][key]["subjects"][subject.key]["rounds"].append(figures)


def one(s, case, subject, sessions, options):
    """One measurement: its figures, with the time and the memory that the subject took."""
    headers = credentials(s, subject, sessions)
    case.check(subject, headers)
    if case.warm_up and not options.short:
        case.measure(subject, headers, 1)
    before, began = subject.cpu_seconds(), time.monotonic()
    figures = case.measure(subject, headers, options.seconds)
    cpu, took = subject.cpu_seconds() - before, time.monotonic() - began
    case.check(subject, headers)
    subject.forget_logs()
    return {
        "rate": figures["count"] * case.factor / figures["seconds"],
        **{name: figures[name] for name in ("p50", "p99", "p999")},
        "cpu_us": cpu / figures["count"] * 1e6,
        "core": cpu / took,
        "memory": subject.memory_bytes(),
    }


def write(report, options):
    """Tables, figures and picture."""
    tables, drawn = table.markdown(report), picture.svg(report)
    about = table.about(report)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.output / "table.md").write_text(f"{about}\n\n{tables}")
    if drawn:
        (options.output / "peers.svg").write_text(drawn)
    print(f"\n{about}\n\n{tables}\nWritten to {options.output}")
    if options.docs:
        begin, end = "<!-- figures: just bench-peers --docs -->\n", "<!-- end of figures -->"
        page = PAGE.read_text()
        inside = re.compile(re.escape(begin) + ".*" + re.escape(end), re.DOTALL)
        PAGE.write_text(inside.sub(lambda _: f"{begin}{about}\n\n{tables}\n{end}", page))
        if drawn:
            PAGE.with_suffix(".svg").write_text(drawn)


if __name__ == "__main__":
    main()
