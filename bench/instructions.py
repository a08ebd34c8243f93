#!/usr/bin/env python3
"""Instructions and allocations of a request, counted by callgrind, against a budget.

Instructions do not depend on the load of the machine, as time does. They depend on the compiler, on the C library and on
features of the processor: the features are pinned below, and the budget has one entry for each compiler and architecture.
Without an entry the figures are printed and nothing fails.

    python3 bench/instructions.py                 print the figures
    python3 bench/instructions.py --check         fail where a figure is more than 3 % above its budget
    python3 bench/instructions.py --write         make the figures the budget of this compiler
    python3 bench/instructions.py --large growth  the growth cases in full size (minutes)
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUDGET = ROOT / "bench" / "budget.json"
# Counted runs of a case, as in bench/instructions/src/main.rs.
REPEATS = 3
# Part of a figure by which it may exceed its budget, and one large gateway a small one.
TOLERANCE = 0.03
GROWTH = 1.10
# What may come on top: a count of allocations is small, and now and then a buffer or a table grows in a run.
SLACK = {"instructions": 0, "allocations": 0.5}
# Functions that allocate. Callgrind knows how often they were called.
ALLOCATE = re.compile(r"^(mi_(malloc|zalloc|calloc|realloc|rezalloc)(_aligned)?|malloc|calloc|realloc)$")
# The features of x86-64-v2, so that every processor takes the same way through libraries that choose by them: glibc's
# functions on memory, the cryptography of aws-lc.
PINNED = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX2_Usable,-AVX_Usable,-AVX512F,-BMI1,-BMI2,-ERMS,-FSRM,-MOVBE,-LZCNT",
    "OPENSSL_ia32cap": "~0x1000000000000000:~0xffffffffffffffff",
}


def built():
    """The benchmark's binary, of the release profile. Its path is in cargo's messages."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--message-format=json"]
    command += ["-p", "instructions"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in messages.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    raise SystemExit("cargo names no binary of the package `instructions`")


def key():
    """The compiler, and what else changes the figures: the C library, and what callgrind shows of the processor."""
    version = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    facts = dict(line.split(": ", 1) for line in version.splitlines() if ": " in line)
    valgrind = subprocess.run(["valgrind", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else "another C library"
    processor = pathlib.Path("/proc/cpuinfo")
    # Libraries in Rust choose by AVX2, which no variable turns off.
    avx2 = "avx2" if processor.exists() and " avx2 " in processor.read_text() else "no avx2"
    return f"rustc {facts['release']}, {facts['host']}, {avx2}, {valgrind.strip()}, {libc}"


def symbol(binary, name):
    """The symbol of a function. Callgrind takes a pattern for one option only, so it gets the symbol."""
    symbols = subprocess.run(["nm", binary], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {line.split()[-1] for line in symbols.splitlines() if line.split()[-2:-1] in (["t"], ["T"]) and name in line}
    if len(found) != 1:
        raise SystemExit(f"{binary} has {len(found)} functions named {name}")
    return found.pop()


def counted(binary, arguments):
    """Each case with its instructions and allocations a request."""
    with tempfile.TemporaryDirectory(prefix="doorward-instructions-") as folder:
        out = pathlib.Path(folder) / "out"
        region = symbol(binary, "counted_region")
        command = [
            "valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-instr=yes", "--dump-line=no",
            "--compress-strings=no", "--compress-pos=no",
            "--demangle=no", f"--toggle-collect={region}", f"--dump-after={region}", binary, *arguments,
        ]  # fmt: skip
        with open(pathlib.Path(folder) / "log", "w+") as log:
            environment = {**os.environ, **PINNED, "RUST_BACKTRACE": "0"}
            run = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
            if run.returncode != 0:
                log.seek(0)
                raise SystemExit(f"the benchmark ended with {run.returncode}:\n{log.read()[-4000:]}")
        cases = [line.rsplit(" ", 1) for line in run.stdout.splitlines()]
        figures = {}
        for place, (name, count) in enumerate(cases):
            runs = [profile(f"{out}.{place * REPEATS + run + 1}") for run in range(REPEATS)]
            middle = lambda n: statistics.median(run[n] for run in runs) / int(count)
            figures[name] = {"instructions": round(middle(0)), "allocations": round(middle(1), 1)}
        return figures


def profile(path):
    """Instructions and allocations of one counted run."""
    instructions, function, callee, after_call = None, "", "", False
    entries, costs = {}, {}
    with open(path) as lines:
        for line in lines:
            if line.startswith("0x"):
                # After `calls=`, the cost of the callee. Else that of one instruction.
                if not after_call and ALLOCATE.match(function):
                    address, cost = line.split()
                    costs[function, address] = costs.get((function, address), 0) + int(cost)
                after_call = False
            elif line.startswith("fn="):
                function = line[3:].strip()
            elif line.startswith("cfn="):
                callee = line[4:].strip()
            elif line.startswith("calls="):
                after_call = True
                # The number of calls includes those that are not counted, but not the cost of the first instruction.
                entries[callee] = line.split()[1]
            elif line.startswith(("summary:", "totals:")):
                instructions = instructions or int(line.split()[1])
    if not instructions:
        raise SystemExit(f"callgrind counted nothing: {path} has no total")
    return instructions, sum(costs.get(entry, 0) for entry in entries.items())


def judged(figures, budget):
    """Prints every figure beside its budget; the sentences about those that are exceeded."""
    wrong = []
    print(f"{'':26}{'instructions':>14}{'budget':>12}{'allocations':>14}{'budget':>10}")
    for name, figure in figures.items():
        allowed = budget.get(name)
        print(f"{name:26}", end="")
        for what, width in (("instructions", 14), ("allocations", 14)):
            limit = allowed[what] if allowed else None
            print(f"{figure[what]:>{width},}{limit if limit is not None else '-':>{12 if what == 'instructions' else 10}}", end="")
            if limit is not None and figure[what] > limit * (1 + TOLERANCE) + SLACK[what]:
                wrong.append(f"{name}: {figure[what]:,} {what}, the budget is {limit:,} and 3 %")
        print()
    for name, large in figures.items():
        small = figures.get(name.replace("-large", "-small"))
        if name.endswith("-large") and small:
            ratio = large["instructions"] / small["instructions"]
            print(f"{name.removesuffix('-large')}: {ratio:.2f} times the small case")
            if ratio > GROWTH:
                wrong.append(f"{name}: {ratio:.2f} times the instructions of the small case, and at most {GROWTH} are allowed")
    return wrong


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--check", action="store_true", help="fail where a budget is exceeded")
    options.add_argument("--write", action="store_true", help="write the figures as this compiler's budget")
    options.add_argument("--large", action="store_true", help="growth cases in full size")
    options.add_argument("filter", nargs="?", help="only the cases whose name contains this")
    options = options.parse_args()
    arguments = (["--large"] if options.large else []) + ([options.filter] if options.filter else [])
    budgets = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    here = key()
    print(here)
    figures = counted(built(), arguments)
    wrong = judged(figures, budgets.get(here, {}))
    if options.write:
        budgets[here] = {**budgets.get(here, {}), **figures}
        BUDGET.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n")
    elif here not in budgets:
        print("there is no budget for this compiler and machine, so nothing was compared; `just bench-budget` writes one")
    if options.check:
        for sentence in wrong:
            print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
