"""Verification of tokens: what passes, what is refused, and the errors."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import doorward
from doorward import _native
from doorward.testing import Issuer


@pytest.fixture
def verifier(issuer: Issuer) -> doorward.Verifier:
    return issuer.verifier(audience="churn")


def test_a_valid_token_gives_its_claims(issuer: Issuer, verifier: doorward.Verifier) -> None:
    issuer.add_user("alice", name="Alice Example", subject="248289761001")
    token = issuer.mint(
        "alice",
        audience=["churn", "other"],
        client="client",
        scope=["score", "openid"],
        roles=["data-scientist"],
        client_roles={"churn": ["admin"]},
        groups=["/finance"],
        claims={"department": "risk", "limits": {"cpu": 2, "memory": 1.5, "gpu": None, "images": ["a", "b"]}},
        expires_in=60,
    )
    claims = verifier.verify(token)
    assert claims.subject == "248289761001"
    assert claims.issuer == issuer.url
    assert claims.client == "client"
    assert claims.audience == {"churn", "other"}
    assert claims.username == "alice"
    assert claims.name == "Alice Example"
    assert claims.verified_email == "alice@example.test"
    assert claims.roles == {"data-scientist"}
    assert claims.client_roles("churn") == {"admin"}
    assert claims.client_roles("elsewhere") == frozenset()
    assert claims.groups == {"/finance"}
    assert claims.scopes == {"score", "openid"}
    assert claims["department"] == "risk"
    assert claims["limits"] == {"cpu": 2, "memory": 1.5, "gpu": None, "images": ["a", "b"]}
    assert claims.at("limits.images") == ["a", "b"]
    assert claims.at("/limits/cpu") == 2
    assert claims.at("limits.disk") is None


def test_times_are_aware_and_in_seconds(issuer: Issuer, verifier: doorward.Verifier) -> None:
    claims = verifier.verify(issuer.mint(audience="churn", expires_in=timedelta(minutes=1)))
    assert claims.expires_at.tzinfo is timezone.utc
    assert claims.expires_at_epoch == claims["exp"]
    assert claims.expires_at == datetime.fromtimestamp(claims["exp"], timezone.utc)
    assert claims.issued_at is not None
    assert claims.expires_at - claims.issued_at == timedelta(minutes=1)


def test_claims_are_a_read_only_mapping(issuer: Issuer, verifier: doorward.Verifier) -> None:
    token = issuer.mint(audience="churn", roles=["reader"])
    claims = verifier.verify(token)
    assert isinstance(claims, Mapping)
    assert dict(claims) == claims.to_dict() == dict(claims.items())
    assert set(claims.keys()) == set(claims)
    assert len(claims) == len(claims.to_dict())
    assert "sub" in claims and "nonsense" not in claims and 7 not in claims  # type: ignore[comparison-overlap]
    assert claims.get("nonsense") is None and claims.get("nonsense", 7) == 7
    with pytest.raises(KeyError, match="nonsense"):
        claims["nonsense"]
    claims["realm_access"]["roles"].append("admin")
    claims.to_dict()["realm_access"]["roles"].append("admin")
    with pytest.raises(TypeError):
        claims["sub"] = "root"  # type: ignore[index]
    with pytest.raises(AttributeError):
        claims.subject = "root"  # type: ignore[misc]
    assert verifier.verify(token)["realm_access"] == {"roles": ["reader"]}
    assert verifier.verify(token).roles == {"reader"}


def test_claims_are_remembered_until_the_keys_change(issuer: Issuer) -> None:
    verifier = issuer.verifier("churn")
    token = issuer.mint(audience="churn")
    assert verifier.verify(token) is verifier.verify(token)
    fetched = issuer.requests("keys")
    for _ in range(100):
        verifier.verify(token)
    assert issuer.requests("keys") == fetched == 1


WRONG: dict[str, tuple[type[doorward.InvalidToken], str | None, dict[str, Any]]] = {
    "expired": (doorward.TokenExpired, "exp", {"expired": True}),
    "wrong_audience": (doorward.WrongAudience, "aud", {"audience": "elsewhere"}),
    "wrong_issuer": (doorward.WrongIssuer, "iss", {"issuer": "https://evil.example"}),
    "bad_signature": (doorward.BadSignature, None, {"wrong_key": True}),
    "algorithm_not_allowed": (doorward.AlgorithmNotAllowed, None, {"unsigned": True}),
    "missing_claim": (doorward.MissingClaim, "sub", {"without": "sub"}),
    "not_yet_valid": (doorward.TokenNotYetValid, "nbf", {"not_before_in": 3600}),
    "wrong_type": (doorward.WrongTokenType, "typ", {"kind": "id"}),
    "invalid_claim": (doorward.InvalidClaim, "exp", {"claims": {"exp": "soon"}}),
    "issued_in_future": (doorward.TokenIssuedInFuture, "iat", {"claims": {"iat": 4102444800}}),
    "unknown_key": (doorward.UnknownKey, None, {"header": {"kid": "another"}}),
    "header_not_allowed": (doorward.HeaderNotAllowed, None, {"header": {"crit": ["b64"], "b64": False}}),
}


@pytest.mark.parametrize("code", WRONG)
def test_each_refusal_has_its_class_code_claim_and_remedy(
    issuer: Issuer, verifier: doorward.Verifier, code: str
) -> None:
    expected, claim, options = WRONG[code]
    token = issuer.mint(**{"audience": "churn", **options})
    with pytest.raises(expected) as caught:
        verifier.verify(token)
    error = caught.value
    assert type(error) is expected
    assert isinstance(error, doorward.InvalidToken)
    assert (error.code, error.claim) == (code, claim)
    assert error.remedy
    assert token not in str(error) and token not in repr(error.__dict__)
    with pytest.raises(expected):
        asyncio.run(verifier.verify_async(token))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", doorward.MalformedToken),
        ("Bearer a.b.c", doorward.MalformedToken),
        ("a.b", doorward.MalformedToken),
        ("é.ü.\0", doorward.MalformedToken),
        ("\ud800", doorward.MalformedToken),
        ("x" * 1_000_000, doorward.TokenTooLarge),
    ],
)
def test_malformed_tokens_are_refused(verifier: doorward.Verifier, text: str, expected: type[doorward.InvalidToken]) -> None:
    with pytest.raises(expected):
        verifier.verify(text)


def test_a_token_is_text(verifier: doorward.Verifier) -> None:
    for other in (None, b"a.b.c", 7):
        with pytest.raises(TypeError):
            verifier.verify(other)  # type: ignore[arg-type]


def test_every_code_has_a_class() -> None:
    classes = {value.code: value for value in vars(doorward).values() if isinstance(value, type) and issubclass(value, doorward.InvalidToken)}
    unavailable = {"keys_unavailable", "introspection_unavailable"}
    others = {doorward.IssuerMisconfigured.code}
    assert set(_native.REFUSAL_CODES) - unavailable - others == set(classes) - {"invalid_token"}


def test_facts_come_with_the_error(issuer: Issuer, verifier: doorward.Verifier) -> None:
    with pytest.raises(doorward.WrongAudience) as audience:
        verifier.verify(issuer.mint(audience=["a", "b"]))
    assert audience.value.expected == ("churn",)
    assert audience.value.found == ("a", "b")
    with pytest.raises(doorward.TokenExpired) as expired:
        verifier.verify(issuer.mint(audience="churn", expired=True))
    assert expired.value.expires_at is not None
    assert expired.value.expires_at < datetime.now(timezone.utc)


def test_errors_can_be_pickled(issuer: Issuer, verifier: doorward.Verifier) -> None:
    with pytest.raises(doorward.WrongAudience) as caught:
        verifier.verify(issuer.mint(audience="elsewhere"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is doorward.WrongAudience
    assert str(again) == str(caught.value)
    assert vars(again) == vars(caught.value)


def test_an_issuer_that_is_down_is_not_an_invalid_token(issuer: Issuer) -> None:
    token = issuer.mint(audience="churn")
    verifier = issuer.verifier("churn")
    with issuer.outage():
        with pytest.raises(doorward.IssuerUnavailable) as caught:
            verifier.verify(token)
        assert not isinstance(caught.value, doorward.InvalidToken)
        assert caught.value.code == "keys_unavailable"
        assert caught.value.retry_after is None or caught.value.retry_after >= 0


def test_a_verifier_works_while_the_issuer_is_down(issuer: Issuer, verifier: doorward.Verifier) -> None:
    verifier.verify(issuer.mint(audience="churn"))
    with issuer.outage():
        verifier.verify(issuer.mint("bob", audience="churn"))


def test_a_rotated_key_is_noticed(issuer: Issuer, verifier: doorward.Verifier) -> None:
    before = verifier.verify(issuer.mint(audience="churn"))
    issuer.rotate()
    after = verifier.verify(issuer.mint(audience="churn"))
    assert before.subject == after.subject
    assert issuer.requests("keys") == 2


def test_options_are_checked_when_they_are_given(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url)
    wrong: tuple[dict[str, Any], ...] = (
        {"audience": ""},
        {"audience": []},
        {"audience": "churn", "profile": "okta"},
        {"audience": "churn", "leeway": 301},
        {"audience": "churn", "algorithms": ["none"]},
        {"audience": "churn", "algorithms": "HS256"},
    )
    for options in wrong:
        with pytest.raises(doorward.ConfigurationError) as caught:
            made.verifier(**options)
        assert caught.value.remedy
        assert isinstance(caught.value, ValueError)
    with pytest.raises(TypeError):
        made.verifier()  # type: ignore[call-arg]
    for leeway in (-1, float("nan")):
        with pytest.raises(ValueError, match="span"):
            made.verifier("churn", leeway=leeway)


def test_leeway_profile_and_algorithms_are_enforced(issuer: Issuer) -> None:
    made = doorward.Issuer(issuer.url)
    stale = issuer.mint(audience="churn", claims={"exp": int(datetime.now().timestamp()) - 60})
    assert made.verifier("churn", leeway=timedelta(seconds=120)).verify(stale)
    with pytest.raises(doorward.TokenExpired):
        made.verifier("churn").verify(stale)
    with pytest.raises(doorward.AlgorithmNotAllowed):
        made.verifier("churn", algorithms="ES256").verify(issuer.mint(audience="churn"))
    assert made.verifier("churn", algorithms=["RS256"]).verify(issuer.mint(audience="churn"))
    with pytest.raises(doorward.WrongTokenType):
        made.verifier("churn", profile="rfc9068").verify(issuer.mint(audience="churn"))


@pytest.mark.parametrize("url", ["http://id.example", "id.example", "https://id.example/?a=b", "https://u:p@id.example"])
def test_a_url_that_is_not_an_issuer_is_refused(url: str) -> None:
    with pytest.raises(doorward.ConfigurationError) as caught:
        doorward.Issuer(url)
    assert caught.value.code == "issuer"


def test_verifiers_and_claims_print_no_token(issuer: Issuer, verifier: doorward.Verifier) -> None:
    token = issuer.mint(audience="churn")
    claims = verifier.verify(token)
    for value in (claims, verifier, doorward.Issuer(issuer.url), doorward.Gateway(issuer.url), issuer):
        assert token not in repr(value) + str(value)
        with pytest.raises(TypeError, match="cannot be pickled: "):
            pickle.dumps(value)
    with pytest.raises(TypeError, match="cannot be pickled: "):
        copy.deepcopy(issuer)
    assert repr(claims).startswith("<doorward.Claims subject=")
    assert repr(doorward.Issuer(issuer.url)) == f'doorward.Issuer("{issuer.url}")'
    assert verifier.issuer == issuer.url and verifier.audience == ["churn"]


def test_a_thousand_tokens_in_many_threads(issuer: Issuer) -> None:
    verifier = issuer.verifier("churn")
    minted = [issuer.mint(f"user-{n % 10}", audience="churn") for n in range(200)]
    failures: list[BaseException] = []

    def verify_all() -> None:
        try:
            for token in minted * 5:
                assert verifier.verify(token).audience == {"churn"}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=verify_all) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert issuer.requests("keys") == 1
    assert issuer.requests("discovery") == 1


def test_remembered_claims_are_freed(issuer: Issuer) -> None:
    token = issuer.mint(audience="churn")
    for _ in range(5):
        verifier = issuer.verifier("churn")
        claims = verifier.verify(token)
        del verifier
        gc.collect()
        assert claims.subject


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "PS256"])
def test_each_issuers_algorithm_is_accepted(algorithm: Any) -> None:
    with Issuer(algorithm=algorithm) as issuer:
        made = doorward.Issuer(issuer.url)
        assert made.verifier("churn", algorithms=algorithm).verify(issuer.mint(audience="churn"))
