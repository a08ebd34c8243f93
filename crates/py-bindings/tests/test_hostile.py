"""Tokens from an attacker: each is refused in bounded time, and the interpreter survives.

Hypothesis generates them, a bounded number in each run. ``python tests/test_hostile.py -max_total_time=60`` generates them with libFuzzer
through Atheris, which keeps inputs that reach new branches.
"""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import doorward
from doorward._native import REFUSAL_CODES
from doorward.access import Guard, Refused
from doorward.testing import Issuer

issuer = Issuer(algorithm="EdDSA", token_lifetime=3600)
verifier = issuer.verifier("churn")
GOOD = issuer.mint("alice", audience="churn", roles=["data-scientist"])

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=30)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
claim_names = st.sampled_from([
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "azp", "client_id", "scope", "realm_access", "resource_access", "groups",
    "act", "cnf", "auth_time", "email", "email_verified", "name", "preferred_username", "sid", "events",
])  # fmt: skip
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "x5u", "cty", "zip", "enc", "x"])


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def spliced(header: object, payload: object, signature: bytes) -> str:
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(map(encoded, [*parts, signature]))


@st.composite
def edited(draw: Any) -> str:
    """The good token with bytes changed, taken out or put in."""
    token = bytearray(GOOD.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(token) - 1))
        token[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return token.decode("latin-1")


@st.composite
def signed(draw: Any) -> str:
    """A token that the issuer really signed, with claims that make no sense."""
    claims = draw(st.dictionaries(claim_names, values, min_size=1, max_size=4))
    try:
        return issuer.mint(audience="churn", claims=claims)
    except ValueError:
        # What JSON does not have cannot be signed either.
        return GOOD


tokens = st.one_of(
    st.text(max_size=300),
    edited(),
    signed(),
    st.builds(spliced, st.dictionaries(header_names, values, max_size=4), values, st.binary(max_size=80)),
    st.builds(spliced, st.binary(max_size=80), st.binary(max_size=200), st.binary(max_size=80)),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=4), st.integers(1, 40_000)),
)


def judged(token: str) -> None:
    """Every operation on a token."""
    try:
        claims = verifier.verify(token)
    except doorward.InvalidToken as refusal:
        assert refusal.code in REFUSAL_CODES
        assert pickle.loads(pickle.dumps(refusal)).code == refusal.code
    else:
        for name in dir(claims):
            if not name.startswith("_"):
                getattr(claims, name)
        repr(claims), claims.client_roles("x"), claims.at("a.b"), claims.at("/a/0"), dict(claims), list(claims.items())
    try:
        asyncio.run(Guard(verifier, roles=["data-scientist"]).check_async([f"Bearer {token}"]))
    except Refused as refused:
        assert refused.status in (400, 401, 403)


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(token=tokens)
def test_every_input_is_accepted_or_refused_cleanly(token: str) -> None:
    judged(token)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "\0", "\udcff", "a" * 10_000_000, "eyJ" * 1_000_000, f"{GOOD}.", f"Bearer {GOOD}", GOOD[:-1], "." * 1_000_000],
    ids=["empty", "one dot", "two", "three", "nul", "surrogate", "large", "long", "dot after", "scheme", "cut", "dots"],
)
def test_a_text_that_is_not_a_token_is_refused(token: str) -> None:
    with pytest.raises(doorward.InvalidToken):
        verifier.verify(token)


@pytest.mark.parametrize("token", [None, b"x", 1, [], object()])
def test_a_value_that_is_not_text_is_a_type_error(token: Any) -> None:
    with pytest.raises(TypeError):
        verifier.verify(token)


@pytest.mark.parametrize("depth", [50, 200, 100_000])
def test_a_deep_token_does_not_exhaust_the_stack(depth: int) -> None:
    bomb = b'{"iss":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(doorward.InvalidToken):
        verifier.verify(spliced({"alg": "EdDSA", "kid": issuer.key_id}, bomb, b"\0" * 64))


def test_atheris_finds_nothing_in_a_few_seconds() -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, __file__, "-max_total_time=5", "-verbosity=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    import atheris

    # Atheris sees new branches in these functions only: the native code is not instrumented.
    for function in (judged, Guard.check_async, Guard.allow):
        atheris.instrument_func(function)
    atheris.Setup(sys.argv, getattr(test_every_input_is_accepted_or_refused_cleanly, "hypothesis").fuzz_one_input)
    atheris.Fuzz()


def test_a_refusal_can_be_hashed_like_any_exception() -> None:
    refused = Refused(401, "no_credentials", "send a token")
    assert refused in {refused}
    assert refused != Refused(401, "no_credentials", "send a token")
