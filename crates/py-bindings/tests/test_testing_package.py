"""The provider that mints tokens is a distribution of its own: the package for production neither holds, links nor registers it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import doorward
import doorward.testing
import doorward_testing
from doorward import _native
from doorward.testing import Issuer

from .guide import REPOSITORY

PACKAGES = ("doorward", "doorward-testing")
REMEDY = "doorward.testing needs the package doorward-testing: pip install 'doorward[testing]'"


def run(program: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *flags, "-c", program], capture_output=True, text=True, timeout=60)


def test_doorward_testing_shows_the_provider() -> None:
    assert doorward.testing.Issuer is doorward_testing.Issuer
    with Issuer() as issuer:
        assert repr(issuer) == f"doorward.testing.Issuer({issuer.url!r})"


@pytest.mark.parametrize("module", ["doorward.testing", "doorward.pytest_plugin"])
def test_without_the_package_the_import_names_the_extra(module: str) -> None:
    done = run(f"import sys; sys.modules['doorward_testing'] = None\nimport {module}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: {REMEDY}"


def test_a_broken_package_is_not_reported_as_missing() -> None:
    done = run("import sys; sys.modules['doorward_testing._native'] = None\nimport doorward.testing")
    assert done.returncode == 1
    assert "doorward_testing._native" in done.stderr.splitlines()[-1]


def test_without_doorward_only_verifier_fails() -> None:
    program = """
import sys
sys.modules["doorward"] = None
from doorward_testing import Issuer
with Issuer() as issuer:
    assert issuer.mint("alice", audience="churn").count(".") == 2
    issuer.verifier("churn")
"""
    done = run(program)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: Issuer.verifier needs the package doorward: pip install doorward"


def test_the_native_module_for_production_mints_nothing() -> None:
    assert not [name for name in dir(_native) if "test" in name.lower() or "mint" in name.lower()]
    held, testing = (Path(str(module.__file__)).read_bytes() for module in (_native, doorward_testing._native))
    for word in (b"TestIssuer", b"unknown option of mint", b"crates/dev-issuer/"):
        assert (word in held, word in testing) == (False, True), word


def test_the_production_crate_does_not_link_the_provider() -> None:
    def linked(package: str) -> set[str]:
        tree = ["cargo", "tree", "--locked", "--offline", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]
        listed = subprocess.run(tree, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        return {line.split()[0] for line in listed.splitlines() if line}

    assert "dev-issuer" in linked("py-testing")
    assert not {"dev-issuer", "axum", "py-testing"} & linked("py-bindings")
    assert not {"oidc-core", "m2m", "py-bindings"} & linked("py-testing")


def test_only_doorward_testing_registers_a_pytest_plugin() -> None:
    of_pytest = {name: [each.value for each in distribution(name).entry_points if each.group == "pytest11"] for name in PACKAGES}
    assert of_pytest == {"doorward": [], "doorward-testing": ["doorward_testing.pytest_plugin"]}


def test_a_suite_can_load_the_plugin_by_name(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile("def test_it(issuer): assert issuer.mint()")
    pytester.runpytest_subprocess("-p", "doorward.pytest_plugin").assert_outcomes(passed=1)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess().assert_outcomes(errors=1)
    pytester.runpytest_subprocess("-p", "doorward.pytest_plugin").assert_outcomes(passed=1)


def test_without_the_package_pytest_runs_and_has_no_fixture(pytester: pytest.Pytester) -> None:
    program = """
import sys
import pytest

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "doorward_testing":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.exit(pytest.main(sys.argv[1:]))
"""
    # Without the distribution, its entry point is missing too. pytest's own import hook would find the package.
    arguments = [sys.executable, "-c", program, "-p", "no:doorward", "--assert=plain"]
    pytester.makepyfile("def test_other(): pass\ndef test_token(issuer): assert issuer.mint()")
    done = pytester.run(*arguments)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'issuer' not found*"])
    done = pytester.run(*arguments, "-p", "doorward.pytest_plugin")
    assert done.ret != 0
    assert REMEDY in done.stderr.str()


def test_the_extra_requires_the_same_version() -> None:
    versions = {distribution(name).version for name in PACKAGES}
    assert versions == {doorward.__version__} == {doorward_testing.__version__}
    wanted = [each.replace("'", '"') for each in distribution("doorward").requires or ()]
    assert f'doorward-testing=={doorward.__version__} ; extra == "testing"' in wanted
    assert not distribution("doorward-testing").requires


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_only_the_url_works() -> None:
    issuer, other = Issuer(), [Issuer()]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            issuer.close()
            other.clear()
            try:
                issuer.mint()
            except RuntimeError as refused:
                code = 0 if "parent process" in str(refused) and issuer.url else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    for each in (issuer, *other):
        with each:
            assert each.verifier("churn").verify(each.mint(audience="churn"))
