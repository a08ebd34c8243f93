"""Decoding without verification, for debugging."""

from __future__ import annotations

import base64

import pytest

import doorward
from doorward.testing import Issuer


def jwt(header: str, payload: str) -> str:
    parts = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, payload)]
    return ".".join([*parts, "c2ln"])


def test_a_refused_token_can_be_looked_at(issuer: Issuer) -> None:
    token = issuer.mint("alice", audience="elsewhere", expired=True)
    seen = doorward.unverified(token)
    assert seen.claims["aud"] == "elsewhere" and seen.header["alg"] == "RS256"
    header, claims = seen
    assert header["kid"] == issuer.key_id and claims["iss"] == issuer.url


def test_the_result_is_nothing_that_was_verified(issuer: Issuer) -> None:
    seen = doorward.unverified(issuer.mint("alice"))
    assert isinstance(seen, doorward.Unverified)
    assert not isinstance(seen, doorward.Claims) and not isinstance(seen.claims, doorward.Claims)
    assert not hasattr(seen, "subject") and not hasattr(seen, "roles")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a.b.c.d",
        "..",
        jwt("{}", "[]"),
        jwt("{}", "1"),
        jwt("{}", '{"sub":"a","sub":"b"}'),
        jwt("{}", '{"a":{"b":1,"b":2}}'),
        jwt("{}", '{"exp":NaN}'),
        jwt("{}", "[" * 100_000),
        jwt("{}", '{"sub":"a"}').replace(".", "=.", 1),
        jwt("{}", '{"sub":"a"}').replace(".", "\n.", 1),
        "é" + jwt("{}", "{}"),
        "Bearer " + jwt("{}", "{}"),
        jwt("{}", '{"a":"' + "x" * 70_000 + '"}'),
    ],
)
def test_what_has_two_readings_or_none_is_refused(token: str) -> None:
    with pytest.raises(doorward.MalformedToken) as malformed:
        doorward.unverified(token)
    assert malformed.value.remedy and "xxx" not in str(malformed.value)
