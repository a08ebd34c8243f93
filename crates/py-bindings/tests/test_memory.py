"""Memory use stays constant, however long a service runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_mixed_use_does_not_grow_memory() -> None:
    command = [sys.executable, str(Path(__file__).with_name("mixed_use.py")), "--uses", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
