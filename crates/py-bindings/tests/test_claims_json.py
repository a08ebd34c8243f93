"""Claims as JSON: `json`, pydantic, and answers of FastAPI."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pydantic
import pytest
from fastapi import Depends, FastAPI

import doorward
from doorward.fastapi import Bearer
from doorward.testing import Issuer

from .callers import over_asgi


@pytest.fixture
def claims(issuer: Issuer) -> doorward.Claims:
    return issuer.verifier("churn").verify(issuer.mint("alice", audience="churn", claims={"department": {"name": "risk"}}))


def test_claims_are_written_by_json(claims: doorward.Claims) -> None:
    written = json.loads(json.dumps(claims.to_dict()))
    assert written == claims and written["department"] == {"name": "risk"}
    assert json.loads(json.dumps({"user": claims}, default=dict)) == {"user": written}


class Answer(pydantic.BaseModel):
    user: doorward.Claims
    score: float = 1.0


def test_claims_are_a_field_of_a_model(claims: doorward.Claims) -> None:
    answer = Answer(user=claims)
    assert answer.user is claims
    assert answer.model_dump()["user"] == claims.to_dict()
    assert json.loads(answer.model_dump_json())["user"] == claims.to_dict()
    for schema in (Answer.model_json_schema(), Answer.model_json_schema(mode="serialization")):
        assert schema["properties"]["user"]["type"] == "object"


@pytest.mark.parametrize("given", [{"sub": "root"}, None, "eyJ", 1])
def test_claims_are_made_by_a_verifier_only(given: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        Answer(user=given)
    with pytest.raises(pydantic.ValidationError, match="Verifier"):
        Answer.model_validate_json(json.dumps({"user": given}))


def test_fastapi_answers_with_claims(issuer: Issuer) -> None:
    caller = Bearer(issuer.verifier("churn"))
    app = FastAPI()

    @app.get("/typed")
    async def typed(claims: doorward.Claims = Depends(caller)) -> doorward.Claims:
        return claims

    @app.get("/untyped")
    async def untyped(claims: doorward.Claims = Depends(caller)):  # type: ignore[no-untyped-def]
        return {"user": claims, "all": [claims]}

    @app.get("/bare", response_model=None)
    async def bare(claims: doorward.Claims = Depends(caller)) -> Any:
        return claims

    @app.get("/model")
    async def model(claims: doorward.Claims = Depends(caller)) -> Answer:
        return Answer(user=claims)

    ask = over_asgi(app)
    token = issuer.mint("alice", audience="churn")
    expected = dict(issuer.verifier("churn").verify(token))
    header = ("Authorization", f"Bearer {token}")
    assert ask(header, path="/typed").json() == expected
    assert ask(header, path="/bare").json() == expected
    assert ask(header, path="/untyped").json() == {"user": expected, "all": [expected]}
    assert ask(header, path="/model").json() == {"user": expected, "score": 1.0}
    described = app.openapi()["paths"]["/typed"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert described["type"] == "object"


def test_pydantic_is_not_loaded_for_its_absence_or_use_elsewhere() -> None:
    lines = "import sys; sys.modules['pydantic_core'] = None; import doorward; assert not hasattr(doorward.Claims, 'x')"
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)
    lines = "import sys, doorward; assert 'pydantic_core' not in sys.modules and 'logging' not in sys.modules"
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)
