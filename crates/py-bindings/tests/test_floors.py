"""Adapters check the version of what they adapt when they are imported; the extras state the same versions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import doorward
from doorward._floor import needs

from . import floors

SOURCES = Path(doorward.__file__).parent
ADAPTERS = sorted({path for path in SOURCES.rglob("*.py") if "needs(" in path.read_text() and path.name != "_floor.py"})

# Adapters that import nothing of what they adapt.
UNCHECKED = {"gradio", "testing"}


def checked() -> set[tuple[str, str]]:
    """Extra and requirement, of each check."""
    found = set()
    for path in ADAPTERS:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "needs":
                package, floor = (ast.literal_eval(argument) for argument in call.args)
                extra = next(ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == "extra")
                found.add((extra, f"{package}>={floor}"))
    return found


def test_the_extras_state_what_the_adapters_check() -> None:
    extras = floors.stated()
    for extra, requirement in checked():
        assert requirement in extras[extra]
    assert {extra for extra, _ in checked()} | UNCHECKED == set(extras)


def test_every_floor_is_tested() -> None:
    assert set(floors.stated()) == {*floors.SUITES, *floors.UNTRIED}


@pytest.mark.parametrize(
    ("found", "floor", "passes"),
    [
        ("3.12.15", "3.12.15", True),
        ("3.12.14", "3.12.15", False),
        ("3.9", "3.12", False),
        ("4", "3.12", True),
        ("2025.7.0", "2025.7", True),
        ("1!1.0", "2", False),
        ("3.12.15rc1", "3.12.15", True),
        ("3.13.0+local", "3.12", True),
    ],
)
def test_versions_are_compared_as_numbers(found: str, floor: str, passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda package: found)
    if passes:
        needs("aiohttp", floor, extra="aiohttp")
        return
    with pytest.raises(ImportError) as caught:
        needs("aiohttp", floor, extra="aiohttp")
    expected = f"doorward[aiohttp] needs aiohttp {floor} or later, and {found} is installed: pip install 'doorward[aiohttp]'"
    assert (str(caught.value), caught.value.name) == (expected, "aiohttp")


def test_a_missing_package_is_named_with_its_command() -> None:
    with pytest.raises(ImportError, match=r"^doorward\[x\] needs x-missing 1 or later \(X 1\), and it is not installed: pip install 'doorward\[x\]'$"):
        needs("x-missing", "1", extra="x", because="X 1")


@pytest.mark.parametrize("path", [path for path in ADAPTERS if path.stem != "airflow"], ids=lambda path: str(path.stem))
def test_an_adapter_of_an_old_version_fails_in_one_line(path: Path) -> None:
    module = ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__")
    program = f"""if True:
        from importlib import metadata
        metadata.version = lambda package: "0.1"
        try:
            import {module}
        except ImportError as error:
            print(error)
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"doorward\[\w+\] needs [\w-]+ [\d.]+ or later, and 0\.1 is installed: pip install 'doorward\[\w+\]'\n", ran.stdout)
