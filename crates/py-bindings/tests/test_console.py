"""The console script `doorward` that pip installs: the commands of `python -m doorward`, beside a gateway of the same name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from doorward.__main__ import _GATEWAY

SCRIPT = Path(sys.executable).with_name("doorward")
PROGRAM = os.environ.get("DOORWARD_BIN", "")


def run(*command: str | Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60)


def commands(usage: str) -> set[str]:
    return set(re.findall(r"^  ([a-z][a-z-]*)", usage.split("Commands:")[1].split("Options:")[0], re.MULTILINE)) - {"help"}


def test_the_script_has_the_commands_of_the_module() -> None:
    script, module = run(SCRIPT, "--help"), run(sys.executable, "-m", "doorward", "--help")
    assert (script.returncode, script.stderr) == (0, "")
    assert script.stdout == module.stdout.replace("python -m doorward", "doorward")
    assert commands(script.stdout) == {"login", "token", "logout", "verify"}
    assert run(SCRIPT, "token", "--nonsense").returncode == 2


def test_a_refusal_names_the_script() -> None:
    refused = run(SCRIPT, "token")
    assert refused.returncode != 0
    assert "python -m" not in refused.stderr and "doorward login" in refused.stderr


@pytest.mark.parametrize("words", [["serve", "--config", "doorward.yaml"], ["check"], ["--verbose", "demo"]])
def test_a_command_of_the_gateway_is_not_taken_for_its_own(words: list[str], tmp_path: Path) -> None:
    alone = run(SCRIPT, *words, path=f"{SCRIPT.parent}:{tmp_path}")
    said = f"is a command of the gateway, and {SCRIPT} belongs to the Python package; "
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr.endswith(said + "its program is not on PATH\n")
    gateway, other = tmp_path / "bin/doorward", tmp_path / "venv/doorward"
    for path in (gateway, other):
        path.parent.mkdir()
    shutil.copy("/bin/true", gateway)
    other.write_text("#!/usr/bin/env python3\n")
    other.chmod(0o755)
    beside = run(SCRIPT, *words, path=f"{SCRIPT.parent}:{other.parent}:{gateway.parent}")
    assert beside.stderr.endswith(f"{said}run {gateway}\n")


@pytest.mark.skipif(not PROGRAM, reason="DOORWARD_BIN names no program to compare with")
def test_every_command_of_the_gateway_is_known() -> None:
    assert commands(run(PROGRAM, "--help").stdout) <= _GATEWAY | commands(run(SCRIPT, "--help").stdout)
