"""A model API with access tokens: roles decide which callers may score and which may change the model.

    DOORWARD_ISSUER=https://keycloak.example/realms/platform DOORWARD_AUDIENCE=churn uvicorn --factory churn_api:from_environment
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field

import doorward
from doorward.fastapi import Bearer


class Customer(BaseModel):
    """A customer to score."""

    model_config = ConfigDict(extra="forbid", strict=True)

    months: float = Field(ge=0, le=1200, description="since the contract began")
    bill: float = Field(ge=0, le=1_000_000, description="a month, in euros")


class Score(BaseModel):
    """The answer of the model."""

    probability: float = Field(ge=0, le=1)
    asked_by: str


class Threshold(BaseModel):
    """The probability from which on a customer is called."""

    model_config = ConfigDict(extra="forbid", strict=True)

    probability: float = Field(ge=0, le=1)


def churn_api(verifier: doorward.Verifier) -> FastAPI:
    """The application, for tokens that `verifier` accepts."""
    app = FastAPI(title="Churn")
    scorer = Bearer(verifier, roles=["scorer", "ml-admin"])
    admin = Bearer(verifier, roles=["ml-admin"])
    kept = Threshold(probability=0.5)

    @app.post("/score", responses=scorer.responses)
    async def score(customer: Customer, claims: Annotated[doorward.Claims, Depends(scorer)]) -> Score:
        """The probability that a customer leaves."""
        risk = customer.bill / (1 + customer.bill + 10 * customer.months)
        return Score(probability=risk, asked_by=claims.username or claims.subject)

    @app.get("/model", responses=scorer.responses)
    async def model(claims: Annotated[doorward.Claims, Depends(scorer)]) -> Threshold:
        """The settings of the model."""
        return kept

    @app.put("/model/threshold", responses=admin.responses)
    async def change(new: Threshold, claims: Annotated[doorward.Claims, Depends(admin)]) -> Threshold:
        """Change the threshold."""
        kept.probability = new.probability
        return kept

    return app


def from_environment() -> FastAPI:
    """The factory for uvicorn."""
    issuer = doorward.Issuer(os.environ["DOORWARD_ISSUER"])
    return churn_api(issuer.verifier(audience=os.environ["DOORWARD_AUDIENCE"]))
