"""Oldest versions of the packages that the adapters work with, checked when an adapter is imported.

The extras in ``pyproject.toml`` state the same versions; a test compares them. Imports nothing that is not installed with Python.
"""

from __future__ import annotations

import re
from importlib import metadata

__all__ = ["needs"]


def needs(package: str, floor: str, *, extra: str, because: str | None = None) -> None:
    """Check that a package is installed in this version or a later one.

    Args:
        package: its name as pip knows it.
        floor: the oldest version that works.
        extra: the extra of ``doorward`` that installs it.
        because: an explanation of the version, for the error.

    Raises:
        ImportError: with what is installed, what is needed and the command that installs it.
    """
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        found = None
    if found is not None and _numbers(found) >= _numbers(floor):
        return
    needed = f"{package} {floor} or later" + (f" ({because})" if because else "")
    installed = "it is not installed" if found is None else f"{found} is installed"
    raise ImportError(f"doorward[{extra}] needs {needed}, and {installed}: pip install 'doorward[{extra}]'", name=package)


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version (PEP 440), without the zeros at its end."""
    release = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(number) for number in release[1].split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
