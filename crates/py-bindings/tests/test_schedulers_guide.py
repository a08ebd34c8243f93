"""The guide for schedulers shows what the examples say, and the examples work: those of Luigi and Airflow in their own suites."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from doorward._airflow_provider import get_provider_info
from doorward.luigi import ClientConfig
from doorward.testing import Issuer

from .conftest import Api

REPOSITORY = Path(__file__).parents[3]
GUIDE = (REPOSITORY / "docs/guides/schedulers.md").read_text()
ARGO = REPOSITORY / "examples/argo"


def test_the_guides_blocks_are_in_the_examples() -> None:
    shown = re.findall(r"^```(?:ini|python|yaml)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    files = [path.read_text() for folder in ("luigi", "airflow", "argo") for path in (REPOSITORY / "examples" / folder).iterdir() if path.is_file()]
    assert len(shown) == 5
    # That with an assertion is run by itself.
    for block in (block for block in shown if "assertion_file=" not in block):
        assert any(block in text for text in files), block


def test_every_setting_is_named_and_every_named_one_exists() -> None:
    (connection,) = get_provider_info()["connection-types"]
    luigi = {name for name, _ in ClientConfig.get_params()}
    assert luigi == {*connection["conn-fields"], "issuer", "client_id"}
    assert {name for name in luigi if f"`{name}`" not in GUIDE} == set()
    (shown,) = re.findall(r"AIRFLOW_CONN_DOORWARD_DEFAULT='(.*?)'", GUIDE, re.DOTALL)
    assert set(json.loads(shown)["extra"]) <= set(connection["conn-fields"])


def workflow() -> dict[str, Any]:
    account, workflow = yaml.safe_load_all((ARGO / "workflow.yaml").read_text())
    assert (account["kind"], workflow["kind"]) == ("ServiceAccount", "Workflow")
    assert workflow["spec"]["serviceAccountName"] == account["metadata"]["name"]
    return dict(workflow["spec"])


def test_the_workflow_passes_the_programs_arguments() -> None:
    spec = workflow()
    templates = {template["name"]: template for template in spec["templates"]}
    assert spec["entrypoint"] in templates
    container = templates["score"]["container"]
    options = dict(text.removeprefix("--").split("=", 1) for text in container["args"] if text.startswith("--"))
    usage = subprocess.run([sys.executable, ARGO / "score.py", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"--([a-z-]+)", usage))
    assert set(options) <= known
    assert {"issuer", "client-id", "assertion-file", "api"} <= set(options)
    (volume,) = spec["volumes"]
    (mount,) = container["volumeMounts"]
    (source,) = volume["projected"]["sources"]
    projected = source["serviceAccountToken"]
    assert mount["name"] == volume["name"] and mount["readOnly"]
    assert options["assertion-file"] == f"{mount['mountPath']}/{projected['path']}"
    assert options["issuer"] == projected["audience"]
    assert projected["expirationSeconds"] >= 600


def test_the_program_runs_as_the_workflow_starts_it(issuer: Issuer, api: Api, tmp_path: Path) -> None:
    """The cluster's part, a token that is signed by a key the issuer knows, is played by OpenSSL."""
    issuer.add_client("nightly", public_key=_key(tmp_path), scopes=["score"])
    (tmp_path / "token").write_text(_assertion(tmp_path, issuer.url))
    container = {template["name"]: template for template in workflow()["templates"]}["score"]["container"]
    here = {
        "python": sys.executable,
        "/app/score.py": str(ARGO / "score.py"),
        "--issuer=https://keycloak.example/realms/platform": f"--issuer={issuer.url}",
        "--assertion-file=/var/run/secrets/issuer/token": f"--assertion-file={tmp_path}/token",
        "--api=https://churn.example": f"--api={api.url}",
    }
    command = [*container["command"], *(here.get(text, text) for text in container["args"])]
    customers = [str(customer) for customer in range(10)]
    ran = subprocess.run(command, env={"CUSTOMERS": " ".join(customers)}, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [f"{customer} welcome" for customer in customers]
    assert issuer.requests("token") == len(set(api.tokens)) == 1


def _key(folder: Path) -> str:
    private, public = folder / "key.pem", folder / "public.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return public.read_text()


def _assertion(folder: Path, audience: str) -> str:
    now = int(time.time())
    claims = {"iss": "nightly", "sub": "nightly", "aud": audience, "iat": now, "exp": now + 60, "jti": "pod"}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    command = ["openssl", "dgst", "-sha256", "-sign", str(folder / "key.pem")]
    return f"{signed}.{_base64(subprocess.run(command, input=signed.encode(), capture_output=True, check=True).stdout)}"


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
