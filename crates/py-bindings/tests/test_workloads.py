"""Jobs of platforms: their tokens, and rules on their subjects."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import doorward
from doorward.access import Guard, Refused, Require
from doorward.testing import Issuer

#: What only Keycloak writes.
OURS = ["typ", "azp", "sid", "acr", "scope", "realm_access", "resource_access", "groups", "preferred_username", "name", "email"]
MAIN = "project_path:data/*:ref_type:branch:ref:main"
JOB = "project_path:data/churn:ref_type:branch:ref:main"


def job(issuer: Issuer, subject: str, **claims: Any) -> str:
    return issuer.mint("alice", audience="deploy", without=OURS, claims={"sub": subject, "ref_protected": "true", **claims})


def bearer(token: str) -> list[str]:
    return [f"Bearer {token}"]


def test_a_job_is_let_in_by_its_subject(issuer: Issuer) -> None:
    verifier = doorward.Issuer(issuer.url, profile="workload").verifier("deploy")
    guard = Guard(verifier, subjects={issuer.url: [MAIN, "system:serviceaccount:run:*"]})
    assert guard.check(bearer(job(issuer, JOB)))["ref_protected"] == "true"
    assert guard.check(bearer(job(issuer, "system:serviceaccount:run:trainer"))).subject
    for other in (
        "project_path:data/churn:ref_type:branch:ref:feature",
        "project_path:data/churn:ref_type:branch:ref:x:ref:main",
        "project_path:data/team/churn:ref_type:branch:ref:main",
        "project_path:data/:ref_type:branch:ref:main",
        JOB + ":",
        "system:serviceaccount:lab:trainer",
        "system:serviceaccount:run:",
    ):
        with pytest.raises(Refused) as caught:
            guard.check(bearer(job(issuer, other)))
        assert caught.value.status == 403
        assert MAIN in caught.value.detail and f"(it is {other})" in caught.value.detail


def test_the_same_subject_of_another_issuer_is_refused(issuer: Issuer) -> None:
    verifier = doorward.Issuer(issuer.url, profile="workload").verifier("deploy")
    for subjects in ({"https://gitlab.example": MAIN}, {}):
        guard = Guard(verifier, any=[Require(subjects=subjects)])
        with pytest.raises(Refused) as caught:
            guard.check(bearer(job(issuer, JOB)))
        assert caught.value.status == 403


@pytest.mark.parametrize("pattern", ["", "*", "**", "repo:*/churn:x", "project_path:*/*:x", "spiffe://*/run", "a:[bc]", "a::*", "a%3a", " a", "a" * 513])
def test_a_pattern_with_two_readings_is_refused(pattern: str) -> None:
    with pytest.raises(doorward.ConfigurationError) as caught:
        doorward.SubjectPattern(pattern)
    assert caught.value.remedy and caught.value.code == "subjects"
    with pytest.raises(doorward.ConfigurationError):
        Require(subjects={"https://gitlab.example": pattern})


def test_a_pattern_is_a_value() -> None:
    pattern = doorward.SubjectPattern(MAIN)
    assert str(pattern) == MAIN and repr(pattern) == f'SubjectPattern("{MAIN}")'
    assert pattern == pickle.loads(pickle.dumps(pattern)) and len({pattern, doorward.SubjectPattern(MAIN)}) == 1
    assert pattern != doorward.SubjectPattern("a")
    assert pattern.matches(JOB) and not pattern.matches(JOB.upper())
