"""Checks the wheels that users install: what each holds, which machines it serves, and that it works where nothing else is installed.

``just wheel-check`` checks those that ``just wheel`` built last: the package ``doorward`` alone, then ``doorward-testing`` beside it. With
another Python: ``python3.13 tests/wheel.py WHEEL TESTING_WHEEL``. It needs pytest, which it copies into the virtual environment that it makes of
the Python that runs it.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable
from configparser import ConfigParser
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

CRATES = Path(__file__).resolve().parents[2]
# Largest sizes in MiB: a second copy of the engine, or one with its symbols, exceeds them.
WHEEL_MIB, NATIVE_MIB = 8, 18
# The C library of the oldest Linux it serves: Debian 10, Ubuntu 20.04, RHEL 8.
GLIBC = (2, 28)

# A first program with the package. Any warning ends it.
FIRST_PROGRAM = """
import asyncio, os, traceback, warnings
import doorward
from doorward.testing import Issuer

with Issuer() as provider:
    issuer = doorward.Issuer(provider.url)
    verifier = issuer.verifier(audience="churn")
    provider.add_client("job", "hunter2", audience="churn", roles=["batch"])
    tokens = issuer.client_credentials("job", secret="hunter2")
    theirs = provider.mint("alice", audience="churn", roles=["data-scientist"])
    expired = provider.mint(audience="churn", expired=True)

    def works():
        claims = verifier.verify(theirs)
        assert (claims.username, claims.roles) == ("alice", {"data-scientist"}), claims
        assert "batch" in verifier.verify(tokens.token()).roles
        assert asyncio.run(verifier.verify_async(asyncio.run(tokens.token_async()))).client == "job"
        try:
            verifier.verify(expired)
        except doorward.TokenExpired:
            return
        raise AssertionError("an expired token was accepted")

    works()
    assert provider.requests("token") == 1
    with warnings.catch_warnings():
        # From 3.12 on Python warns of every fork beside threads. This package is made for it.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            works()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    assert provider.requests("token") == 2, "the child fetched its own"
    works()
"""

# A token as a user pastes it at a terminal.
AT_A_TERMINAL = """
import subprocess, sys
from doorward.testing import Issuer

with Issuer() as provider:
    command = [sys.executable, *{flags!r}, "-m", "doorward", "verify", "--issuer", provider.url, "--audience", "churn", "-"]
    for token, code, word in [(provider.mint(audience="churn"), 0, "valid for churn"), (provider.mint(), 1, "wrong_audience")]:
        done = subprocess.run(command, input=token, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (code, "") and word in done.stdout, done
"""

# A program that exits while threads of its own wait for the issuer, whose answer arrives during Python's shutdown. Python then ends those
# threads within native code, which works with the unwinder of the C library only.
EXITING_PROGRAM = """
import builtins, threading, time
import doorward
from doorward.testing import Issuer

class Slow:
    def __del__(self):
        time.sleep(0.5)

provider = builtins.provider = Issuer()
provider.fail("token", delay=0.25)
tokens = doorward.Issuer(provider.url).client_credentials("client", secret="secret")
for _ in range(8):
    threading.Thread(target=tokens.token, daemon=True).start()
while not provider.requests("token"):
    time.sleep(0)
builtins.slow = Slow()
"""

# The package for production alone: it mints nothing, and its errors name what to install for tests.
ALONE = """
import importlib.metadata
import doorward

assert not importlib.metadata.entry_points(group="pytest11"), "pytest would load something"
for name in ("testing", "pytest_plugin"):
    try:
        importlib.import_module(f"doorward.{name}")
    except ImportError as error:
        print(error)
    else:
        raise AssertionError(f"doorward.{name} was imported")
"""
REMEDY = "doorward.testing needs the package doorward-testing: pip install 'doorward[testing]'"

# A suite that runs with the provider and without it.
SUITE = """
def test_a_token_is_minted(issuer, doorward_issuer):
    assert issuer is doorward_issuer
    assert issuer.verifier("churn").verify(issuer.mint("alice", audience="churn")).username == "alice"
"""

# Words of a native module that mints: the name of its class, one of its errors, and the sources that a panic would name.
MINTING = (b"TestIssuer", b"unknown option of mint", b"crates/dev-issuer/")

# Independent of this checkout and of the environment; warnings are errors.
FLAGS = ["-I", "-X", "dev", "-W", "error"]


class Environment:
    """A virtual environment that has what was installed into it and nothing else."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.folder = folder

    def python(self, *arguments: str, code: int = 0) -> str:
        command = [str(self.folder / "bin" / "python"), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"ended with {done.returncode}: {done.stdout}{done.stderr}"
        assert not done.stderr, done.stderr
        return done.stdout

    def pip(self, *arguments: str) -> str:
        return self.python("-I", "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", *arguments)

    def installed(self) -> set[str]:
        listed = {line.partition("==")[0] for line in self.pip("list", "--format=freeze").splitlines()}
        return listed - {"pip", "setuptools"}

    def copy(self, name: str) -> None:
        """A package of the Python that runs this, with those it requires there, so that no index is asked."""
        site = Path(self.python("-I", "-c", "import site; print(site.getsitepackages()[0])").strip())
        copied: set[str] = set()
        wanted = [name]
        while wanted:
            try:
                package = distribution(wanted.pop())
            except PackageNotFoundError:
                # Required by another version of Python.
                continue
            if package.name in copied:
                continue
            copied.add(package.name)
            wanted += [re.split(r"[^\w.-]", each)[0] for each in package.requires or () if "extra ==" not in each]
            for path in package.files or ():
                if ".." not in path.parts and path.suffix != ".pyc":
                    target = site / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(os.fspath(path.locate()), target)

    def pytest(self, *, code: int) -> str:
        """Runs a suite that asks for the fixture."""
        (self.folder / "test_suite.py").write_text(SUITE)
        return self.python("-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_suite.py", code=code)


class Wheel:
    """A wheel, and the environment it is installed into."""

    def __init__(self, path: Path, environment: Environment) -> None:
        self.path = path
        self.environment = environment
        self.archive = zipfile.ZipFile(path)
        self.names = set(self.archive.namelist())
        self.package = path.name.partition("-")[0]
        self.native = self.archive.read(f"{self.package}/_native.abi3.so")
        self.sources = CRATES / {"doorward": "py-bindings", "doorward_testing": "py-testing"}[self.package] / "python"

    def described(self, name: str) -> str:
        """A file of its ``.dist-info``."""
        (found,) = (each for each in self.names if each.endswith(f".dist-info/{name}"))
        return self.archive.read(found).decode()

    def metadata(self) -> Message:
        return email.message_from_string(self.described("METADATA"))

    def tag(self) -> list[str]:
        """For which Python, which ABI and which platform, as its name says."""
        return self.path.stem.split("-")[-3:]

    def python(self, *arguments: str) -> str:
        return self.environment.python(*arguments)


def the_tag_is_for_every_cpython_from_3_10(wheel: Wheel) -> None:
    python, abi, platform = wheel.tag()
    assert (python, abi) == ("cp310", "abi3"), wheel.tag()
    assert [f"{python}-{abi}-{platform}"] == email.message_from_string(wheel.described("WHEEL")).get_all("Tag")
    assert wheel.metadata()["Requires-Python"] == ">=3.10"


def an_old_linux_has_all_that_it_asks_for(wheel: Wheel) -> None:
    platform = wheel.tag()[2]
    if platform.startswith("macosx"):
        return
    promised = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", platform)
    assert promised, platform
    oldest = (int(promised[1]), int(promised[2]))
    assert oldest <= GLIBC, platform
    asked = max((int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", wheel.native))
    assert asked <= oldest, f"needs glibc {asked}, promises {oldest}"


def it_requires_nothing(wheel: Wheel) -> None:
    assert wheel.metadata().get_all("Requires-Dist") is None
    assert wheel.metadata().get_all("Provides-Extra") is None


def it_requires_nothing_but_for_its_extras(wheel: Wheel) -> None:
    required = [each.replace("'", '"') for each in wheel.metadata().get_all("Requires-Dist", [])]
    assert required and all(re.search(r'; extra == "[a-z0-9]+"$', each) for each in required), required
    assert f'doorward-testing=={wheel.metadata()["Version"]} ; extra == "testing"' in required, required


def it_holds_the_package_with_its_types_and_nothing_else(wheel: Wheel) -> None:
    built = {path.relative_to(wheel.sources).as_posix() for path in wheel.sources.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    built = {name for name in built if not name.endswith(".so")} | {f"{wheel.package}/_native.abi3.so"}
    held = {name for name in wheel.names if ".dist-info/" not in name}
    assert held == built, held ^ built
    assert {f"{wheel.package}/py.typed", f"{wheel.package}/_native.pyi"} <= held


def licences_and_entry_points_come_along(wheel: Wheel) -> None:
    assert wheel.metadata()["License-Expression"] == "Apache-2.0 OR MIT"
    for licence in ("LICENSE-APACHE", "LICENSE-MIT"):
        assert licence in wheel.metadata().get_all("License-File", [])
        assert wheel.described(f"licenses/{licence}") == (wheel.sources.parent / licence).read_text()
    entry_points = ConfigParser()
    entry_points.read_string(wheel.described("entry_points.txt"))
    assert set(entry_points.sections()) == ENTRY_POINTS[wheel.package]
    for section in entry_points.sections():
        for value in entry_points[section].values():
            module = value.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & wheel.names, value


def it_is_stripped_and_small(wheel: Wheel) -> None:
    assert wheel.path.stat().st_size <= WHEEL_MIB << 20
    assert len(wheel.native) <= NATIVE_MIB << 20
    left = {name for name in elf_sections(wheel.native) if name.startswith((".debug", ".symtab"))}
    assert not left, left


def it_installs_where_nothing_else_is(wheel: Wheel) -> None:
    wheel.environment.pip("install", "--quiet", "--no-index", str(wheel.path))
    assert wheel.environment.pip("check").strip() == "No broken requirements found."
    assert wheel.environment.installed() == {"doorward"}


def it_holds_nothing_that_mints(wheel: Wheel) -> None:
    assert not [word for word in MINTING if word in wheel.native]


def it_holds_what_mints(wheel: Wheel) -> None:
    # Otherwise their absence from the other wheel proves nothing.
    assert all(word in wheel.native for word in MINTING)


def alone_it_names_what_to_install_for_tests(wheel: Wheel) -> None:
    assert wheel.python(*FLAGS, "-c", ALONE).splitlines() == [REMEDY, REMEDY]


def alone_it_has_the_command(wheel: Wheel) -> None:
    script = wheel.environment.folder / "bin" / "doorward"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"doorward {wheel.metadata()['Version']}\n", ""), done


def alone_it_gives_pytest_no_fixture(wheel: Wheel) -> None:
    wheel.environment.copy("pytest")
    assert "fixture 'issuer' not found" in wheel.environment.pytest(code=1)
    assert "doorward" not in wheel.python("-I", "-m", "pytest", "-q", "--fixtures", "-p", "no:cacheprovider")


def the_extra_installs_it(wheel: Wheel) -> None:
    # No index but a folder that holds this one alone.
    folder = wheel.environment.folder / "wheels"
    folder.mkdir()
    shutil.copy(wheel.path, folder)
    version = wheel.metadata()["Version"]
    wheel.environment.pip("install", "--quiet", "--no-index", "--find-links", str(folder), f"doorward[testing]=={version}")
    assert {"doorward", "doorward-testing"} <= wheel.environment.installed()
    assert wheel.environment.pip("check").strip() == "No broken requirements found."


def pytest_has_the_fixture(wheel: Wheel) -> None:
    assert "1 passed" in wheel.environment.pytest(code=0)


def a_program_verifies_fetches_and_forks(wheel: Wheel) -> None:
    wheel.python(*FLAGS, "-c", FIRST_PROGRAM)


def a_program_ends_while_its_threads_wait(wheel: Wheel) -> None:
    for _ in range(5):
        wheel.python(*FLAGS, "-c", EXITING_PROGRAM)


def the_command_tells_good_tokens_from_bad(wheel: Wheel) -> None:
    wheel.python(*FLAGS, "-c", AT_A_TERMINAL.format(flags=FLAGS))


def elf_sections(octets: bytes) -> set[str]:
    """The names of the sections of a 64-bit ELF file; none of what is another format."""
    if octets[:5] != b"\x7fELF\x02":
        return set()
    (headers,) = struct.unpack_from("<Q", octets, 0x28)
    size, count, names = struct.unpack_from("<HHH", octets, 0x3A)

    def header(index: int) -> tuple[int, int]:
        """Offsets of its name among the names, and of the section itself."""
        at = headers + index * size
        return struct.unpack_from("<I", octets, at)[0], struct.unpack_from("<Q", octets, at + 0x18)[0]

    table = header(names)[1]
    starts = [table + header(index)[0] for index in range(count)]
    return {octets[start : octets.index(b"\0", start)].decode() for start in starts}


ENTRY_POINTS = {
    "doorward": {"console_scripts", "jupyterhub.authenticators", "apache_airflow_provider", "mlflow.request_auth_provider"},
    "doorward_testing": {"pytest11"},
}

OF_BOTH: list[Callable[[Wheel], None]] = [
    the_tag_is_for_every_cpython_from_3_10,
    an_old_linux_has_all_that_it_asks_for,
    it_holds_the_package_with_its_types_and_nothing_else,
    licences_and_entry_points_come_along,
    it_is_stripped_and_small,
]

CHECKS: dict[str, list[Callable[[Wheel], None]]] = {
    "doorward": [
        *OF_BOTH,
        it_requires_nothing_but_for_its_extras,
        it_holds_nothing_that_mints,
        it_installs_where_nothing_else_is,
        alone_it_names_what_to_install_for_tests,
        alone_it_has_the_command,
        alone_it_gives_pytest_no_fixture,
    ],
    "doorward_testing": [
        *OF_BOTH,
        it_requires_nothing,
        it_holds_what_mints,
        the_extra_installs_it,
        pytest_has_the_fixture,
        a_program_verifies_fetches_and_forks,
        a_program_ends_while_its_threads_wait,
        the_command_tells_good_tokens_from_bad,
    ],
}


def main(paths: list[Path]) -> int:
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        wheels = {wheel.package: wheel for wheel in (Wheel(path.resolve(), environment) for path in paths)}
        for package, checks in CHECKS.items():
            wheel = wheels[package]
            print(f"{wheel.path.name}, {wheel.path.stat().st_size / (1 << 20):.1f} MiB, with Python {sys.version.split()[0]}")
            for check in checks:
                sentence = check.__name__.replace("_", " ")
                try:
                    check(wheel)
                except AssertionError as error:
                    failed += 1
                    print(f"FAILED  {sentence}: {error}")
                else:
                    passed += 1
                    print(f"passed  {sentence}")
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    if find_spec("pytest") is None:
        sys.exit("run this with a Python that has pytest: it is copied from there, so that no index is asked")
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]) > 0)
