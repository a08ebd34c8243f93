"""Lines of Python that are printed in other places than the guides with a suite of their own, run as printed."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

import doorward
import doorward.luigi
from doorward.jupyterhub import GatewayAuthenticator
from doorward.testing import Issuer

from .callers import over_asgi
from .conftest import Api
from .guide import REPOSITORY, Page

README = Page("README.md", "crates/py-bindings")
TESTING = Page("README.md", "crates/py-testing")
SCHEDULERS = Page("schedulers.md")
HUB = Page("jupyterhub.md")
FIRST = Page("python.md")
# Driven in Chromium with the applications, by the tests of the gateway.
SESSION_ENDS = "session-ends.md"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def instead(issuer: Issuer, api: Api, tmp_path: Path) -> dict[str, str]:
    """Stand-ins for the names that are printed."""
    issuer.add_client("nightly", "secret", scopes=["score"], audience="churn")
    (tmp_path / "nightly").write_text("secret")
    return {
        "https://keycloak.example/realms/platform": issuer.url,
        "https://churn.example": api.url,
        "/run/secrets/nightly": str(tmp_path / "nightly"),
    }


def test_the_service_of_the_package_page(issuer: Issuer, instead: dict[str, str]) -> None:
    names: dict[str, Any] = {}
    README.run(README.block("from doorward.fastapi"), names, instead)
    ask = over_asgi(names["app"])
    token = issuer.mint("alice", audience="churn", roles=["scorer"])
    assert ask(("Authorization", f"Bearer {token}"), path="/score").json() == {"hello": "alice"}
    assert ask(("Authorization", f"Bearer {issuer.mint(audience='churn')}"), path="/score").status_code == 403
    assert ask(path="/score").status_code == 401


def test_the_job_of_the_package_page(issuer: Issuer, api: Api, instead: dict[str, str]) -> None:
    names: dict[str, Any] = {}
    README.run(README.block("import requests"), names, instead)
    assert names["answer"].text == "welcome"
    (token,) = api.tokens
    assert issuer.verifier("churn").verify(token).scopes >= {"score"}


@pytest.mark.parametrize("page", [README, TESTING, FIRST], ids=lambda page: str(page.path.parent.name))
def test_a_printed_test_passes(page: Page, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(page.block("def test_an_expired_token"))
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_provider_without_pytest() -> None:
    TESTING.run(TESTING.block("with Issuer() as issuer:"), {})


def test_every_block_of_the_package_pages_is_run() -> None:
    # That of Airflow in its own environment.
    assert len(README.blocks) == 4 and README.block("DoorwardHook")
    assert len(TESTING.blocks) == 2


@pytest.fixture
def scores(issuer: Issuer, instead: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (printed,) = re.findall(r"^```ini\n(.*?)^```$", SCHEDULERS.path.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "luigi.cfg").write_text(changed(printed, instead) + f"cache_dir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("LUIGI_CONFIG_PATH", str(tmp_path / "luigi.cfg"))


def changed(text: str, instead: dict[str, str]) -> str:
    for printed, here in instead.items():
        text = text.replace(printed, here)
    return text


def program(block: str, task: str) -> str:
    return f"{block}\n\nluigi.build([{task}], local_scheduler=True) or exit(1)\n"


@pytest.mark.usefixtures("scores")
@pytest.mark.parametrize("where", ["guide", "module"])
def test_a_task_of_luigi(where: str, issuer: Issuer, api: Api, instead: dict[str, str], tmp_path: Path) -> None:
    if where == "guide":
        block, task = SCHEDULERS.block("import luigi"), f'Score("{api.url}", "scores", 7)'
    else:
        block, task = textwrap.dedent(inspect.getdoc(doorward.luigi).split("besides::\n")[1].split("\nA task never")[0]), "Score('7')"  # type: ignore[union-attr]
    (tmp_path / "printed.py").write_text(program(changed(block, instead), task))
    ran = subprocess.run([sys.executable, "printed.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "scores/7.txt").read_text() == "welcome"
    assert [seen.path for seen in api.seen] == ["/score/7"]
    assert issuer.requests("token") == 1


def test_a_pod_of_argo_opens_no_connection(instead: dict[str, str], issuer: Issuer) -> None:
    names: dict[str, Any] = {}
    SCHEDULERS.run(SCHEDULERS.block("assertion_file="), names, instead)
    assert names["tokens"].client_id == "nightly"
    assert issuer.requests() == 0


def test_the_settings_of_the_hub_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CULL_IDLE_TOKEN", "of the hub")
    text = HUB.path.read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)]
    settings = [block for block in blocks if "c." in block and "notebook" not in block]
    assert len(settings) >= 5
    for block in settings:
        config = Config()
        exec(compile(block, str(HUB.path), "exec"), {"c": config})
        assert set(config.GatewayAuthenticator) <= set(GatewayAuthenticator.class_trait_names()), block


def test_the_token_of_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOORWARD_TOKEN", "of a login")
    names: dict[str, Any] = {}
    with pytest.raises(subprocess.CalledProcessError) as caught:
        FIRST.run(FIRST.block('"-m", "doorward", "token"'), names)
    assert caught.value.returncode == 4


def test_applications_driven_in_a_browser_are_set_up_as_printed() -> None:
    page = (REPOSITORY / "docs/guides" / SESSION_ENDS).read_text()
    driven = "".join((REPOSITORY / "tests/fixtures" / name).read_text() for name in ("panel_app.py", "dash_app.py"))
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for line in "".join(blocks).splitlines():
        setting = re.search(r"external_scripts=\[.*\]", line)
        assert (setting[0] if setting else line) in driven, line


def test_the_agent_driven_to_keycloak_is_written_as_printed() -> None:
    driven = [line.strip() for line in (REPOSITORY / "tests/fixtures/mcp_agent.py").read_text().splitlines()]
    (block,) = Page("agents.md").blocks
    assert [line for line in block.splitlines() if line.strip() not in driven] == []


def test_a_program_without_a_credential_calls_as_printed(api: Api) -> None:
    outbound = Page("outbound.md")
    outbound.run(outbound.block("import requests"), {}, {"http://127.0.0.1:8081": api.url})
    assert [(request.path, request.authorization) for request in api.seen] == [("/churn/v1/score", None)]


def test_every_page_with_python_has_a_suite() -> None:
    suites = (Path(__file__).parent / name for name in ("test_guide.py", "test_guide_clients.py", "test_guide_logins.py", "test_guide_services.py", "test_guide_testing.py", "test_printed.py"))
    tried = set(re.findall(r'Page\("([\w.-]+)"', "".join(path.read_text() for path in suites))) | {"model-apis.md", "credential-helpers.md", SESSION_ENDS}
    pages = {path.name for path in (REPOSITORY / "docs").rglob("*.md") if "```python" in path.read_text()}
    assert pages <= tried
