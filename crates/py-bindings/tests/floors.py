"""The adapters with the oldest versions that their extras in ``pyproject.toml`` allow: ``python tests/floors.py FOLDER [short]``.

The versions of each extra are installed into a folder of their own, once, and shadow those of the environment that runs this. ``short``
runs a few tests of each adapter. The extra ``airflow`` is not tried: old versions of Airflow need old versions of all they require.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parents[1]

# Suites of each extra, the tests among them that concern it, and those of the short form.
SUITES: dict[str, tuple[list[str], str, str]] = {
    "aiohttp": (["clients", "refused_tokens"], "aiohttp", "carry or rewound"),
    "fastapi": (["services", "frameworks"], "fastapi", "websocket or scopes"),
    "flask": (["services", "frameworks"], "flask", "flask"),
    "fsspec": (["fsspec"], "fsspec", "reads_with or pickle"),
    "gradio": (["gradio"], "gradio", "greet or event"),
    "grpc": (["grpc"], "grpc", "carries or replaces"),
    "httpx": (["clients", "refused_tokens"], "httpx and not httpx2", "carry or rewound"),
    "httpx2": (["clients", "refused_tokens"], "httpx2", "carry or rewound"),
    "jupyterhub": (["jupyterhub", "hub_identity", "hub_tokens"], "hub", "identity"),
    "luigi": (["luigi"], "luigi", "share or setting"),
    "mlflow": (["mlflow"], "mlflow", "missing"),
    "requests": (["clients", "refused_tokens"], "requests", "carry or rewound"),
    "streamlit": (["gateway"], "streamlit or page", "page or streamlit"),
    "urllib3": (["clients", "refused_tokens"], "urllib3", "carry or rewound"),
}

# Installed as it is, or by another extra.
UNTRIED = {"airflow", "testing"}

# Old versions that need an older version of something else than they say.
BESIDES = {"flask": ["werkzeug<3"], "requests": ["urllib3==2.0.2"]}


def stated() -> dict[str, set[str]]:
    """Requirements by the extra that has them, as pip reads them."""
    extras: dict[str, set[str]] = {}
    for requirement in metadata.requires("doorward") or ():
        wanted, _, condition = requirement.partition(";")
        (extra,) = re.findall(r"extra == ['\"](.*)['\"]", condition)
        extras.setdefault(extra, set()).add(re.sub(r"[ ()]", "", wanted))
    return extras


def floors() -> dict[str, list[str]]:
    """The oldest versions of each extra."""
    return {extra: sorted(each.replace(">=", "==") for each in wanted) for extra, wanted in stated().items() if extra not in UNTRIED}


def install(folder: Path, packages: list[str]) -> None:
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == " ".join(packages):
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target", str(folder), *packages]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(packages)}: {ran.stderr}")
    stamp.write_text(" ".join(packages))


def test(extra: str, folder: Path, short: bool) -> tuple[bool, str]:
    suites, concerned, few = SUITES[extra]
    selected = f"({concerned}) and ({few})" if short else concerned
    # Deprecated by later versions of others.
    options = ["-q", "-p", "no:cacheprovider", "-W", "default", "--tb", "short", "-k", selected]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"tests/test_{suite}.py" for suite in suites)],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    summary = re.findall(r"^.*(?:passed|failed|error).* in .*$", ran.stdout, re.MULTILINE)
    return ran.returncode == 0, summary[-1] if ran.returncode == 0 else ran.stdout + ran.stderr


def main(root: Path, short: bool) -> int:
    wanted = {extra: packages + BESIDES.get(extra, []) for extra, packages in floors().items()}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, [root / extra for extra in wanted], wanted.values()))
        results = pool.map(lambda extra: test(extra, root / extra, short), wanted)
        failed = 0
        for (extra, packages), (passed, said) in zip(wanted.items(), results, strict=True):
            print(f"{'passed' if passed else 'FAILED'}  {extra}: {', '.join(packages)}: {said}")
            failed += not passed
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] == ["short"]) > 0)
