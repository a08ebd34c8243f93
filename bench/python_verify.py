#!/usr/bin/env python3
"""Time to verify a token in Python: `doorward` next to PyJWT, joserfc, Authlib, python-jose and python-keycloak, in one run.

    just bench-python

Every library verifies the same tokens, one library after the other in each round, so that other load of the machine affects all.
Each checks the same: the signature with the issuer's key, `iss`, `aud` and `exp`. The others get the right key, parsed before;
`doorward` finds it by `kid`, and checks the token's type as well. Each library sees a token once ("first seen"), so no cache helps. Figures are microseconds per call, the median of the rounds; the ratio is the median of the ratios of each round.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable
from importlib.metadata import version

import json

from doorward.testing import Issuer

warnings.simplefilter("ignore")

AUDIENCE = "churn"
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
Verify = Callable[[str], object]


def pyjwt(module, jwk: dict, algorithm: str, issuer: str) -> Verify:
    key = module.PyJWK(jwk, algorithm)
    return lambda token: module.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=issuer)


def older_pyjwt(folder: str):
    """PyJWT from another folder, beside the installed one."""
    set_aside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "jwt"}
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("jwt")
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.split(".")[0] == "jwt"]:
            del sys.modules[name]
        sys.modules.update(set_aside)


def joserfc(jwk: dict, algorithm: str, issuer: str) -> Verify:
    from joserfc import jwt
    from joserfc.jwk import JWKRegistry

    key = JWKRegistry.import_key(jwk)
    asked = jwt.JWTClaimsRegistry(iss={"essential": True, "value": issuer}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True})

    def verify(token: str) -> object:
        decoded = jwt.decode(token, key, algorithms=[algorithm])
        asked.validate(decoded.claims)
        return decoded.claims

    return verify


def authlib(jwk: dict, algorithm: str, issuer: str) -> Verify:
    from authlib.jose import JsonWebKey, JsonWebToken

    key, jwt = JsonWebKey.import_key(jwk), JsonWebToken([algorithm])
    asked = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True}}

    def verify(token: str) -> object:
        claims = jwt.decode(token, key, claims_options=asked)
        claims.validate()
        return claims

    return verify


def python_jose(jwk: dict, algorithm: str, issuer: str) -> Verify:
    from jose import jwk as keys, jwt

    key = keys.construct(jwk, algorithm)
    return lambda token: jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=issuer)


def python_keycloak(jwk: dict, algorithm: str, issuer: str) -> Verify:
    """As `KeycloakOpenID.decode_token` does with a cached key; by default it fetches the key again for each token."""
    from jwcrypto.jwk import JWK
    from keycloak import KeycloakOpenID

    client = KeycloakOpenID(server_url="http://127.0.0.1:9/", client_id=AUDIENCE, realm_name="dev")
    key = JWK(**jwk)
    asked = {"iss": issuer, "aud": AUDIENCE, "exp": None}
    return lambda token: client.decode_token(token, key=key, check_claims=asked, algs=[algorithm])


def contestants(issuer: Issuer, algorithm: str, older: str | None) -> dict[str, Verify]:
    with urllib.request.urlopen(f"{issuer.url}/protocol/openid-connect/certs") as answer:
        jwk = next(key for key in json.load(answer)["keys"] if key["kid"] == issuer.key_id)
    jwk = {**jwk, "alg": algorithm}
    found: dict[str, Verify] = {"doorward": issuer.verifier(AUDIENCE).verify}
    made: dict[str, Callable[[], Verify]] = {
        f"PyJWT {version('PyJWT')}": lambda: pyjwt(importlib.import_module("jwt"), jwk, algorithm, issuer.url),
        f"joserfc {version('joserfc')}": lambda: joserfc(jwk, algorithm, issuer.url),
        f"Authlib {version('Authlib')}": lambda: authlib(jwk, algorithm, issuer.url),
        f"python-jose {version('python-jose')}": lambda: python_jose(jwk, algorithm, issuer.url),
        f"python-keycloak {version('python-keycloak')}": lambda: python_keycloak(jwk, algorithm, issuer.url),
    }
    if older:
        module = older_pyjwt(older)
        made[f"PyJWT {module.__version__}"] = lambda: pyjwt(module, jwk, algorithm, issuer.url)
    token = issuer.mint(audience=AUDIENCE)
    wrong = [issuer.mint(audience="another"), issuer.mint(audience=AUDIENCE, wrong_key=True), issuer.mint(audience=AUDIENCE, expired=True)]
    for name, make in made.items():
        try:
            verify = make()
            verify(token)
        except Exception as error:
            print(f"  {name} does not take part: {type(error).__name__}: {str(error)[:80]}")
            continue
        found[name] = verify
    for name, verify in found.items():
        for bad in wrong:
            try:
                verify(bad)
            except Exception:
                continue
            sys.exit(f"{name} accepted an invalid token: it cannot be compared")
    return found


def first_seen(algorithm: str, rounds: int, tokens: int, older: str | None) -> dict[str, list[float]]:
    with Issuer(algorithm=algorithm, token_lifetime=3600) as issuer:
        verifiers = contestants(issuer, algorithm, older)
        took: dict[str, list[float]] = {name: [] for name in verifiers}
        for turn in range(rounds):
            fresh = [issuer.mint(audience=AUDIENCE, roles=["data-scientist"]) for _ in range(tokens)]
            names = list(verifiers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                verify = verifiers[name]
                began = time.process_time()
                for token in fresh:
                    verify(token)
                took[name].append(1e6 * (time.process_time() - began) / tokens)
        return took


def remembered() -> float:
    """One call with a token that was verified before, in microseconds: the median of 40 rounds of 20,000."""
    with Issuer() as issuer:
        verify, token = issuer.verifier(AUDIENCE).verify, issuer.mint(audience=AUDIENCE, roles=["data-scientist"])
        took = []
        for _ in range(40):
            began = time.process_time()
            for _ in range(20_000):
                verify(token)
            took.append(1e6 * (time.process_time() - began) / 20_000)
        return statistics.median(took)


def import_ms() -> float:
    """Start-up of an interpreter that imports the package, minus one that does not: the median of 30 pairs."""

    def run(program: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return 1000 * (time.perf_counter() - began)

    return statistics.median(run("import doorward") - run("pass") for _ in range(30))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--tokens", type=int, default=100, help="per round")
    parser.add_argument("--older-pyjwt", metavar="FOLDER", help="where another version of PyJWT is installed (pip install --target)")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"doorward {version('doorward')}, CPython {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    gc.disable()
    held = True
    for algorithm in ALGORITHMS:
        print(f"\n{algorithm}, first seen")
        took = first_seen(algorithm, given.rounds, given.tokens, given.older_pyjwt)
        ours = took.pop("doorward")
        print(f"  {'doorward':24}{statistics.median(ours):8.1f} µs")
        for name, theirs in sorted(took.items(), key=lambda item: statistics.median(item[1])):
            ratio = statistics.median(t / o for t, o in zip(theirs, ours))
            held &= ratio >= (1.8 if algorithm == "RS256" else 1.0)
            print(f"  {name:24}{statistics.median(theirs):8.1f} µs   × {ratio:.2f}")
    cached, imported = remembered(), import_ms()
    held &= cached < 1.5 and imported < 60
    print(f"\nremembered token  {cached:6.2f} µs (bound 1.5)\nimport doorward   {imported:6.1f} ms (bound 60)")
    print("every bound holds" if held else "NOT every bound holds: RS256 × 1.8, ES256 and EdDSA × 1, and those above")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
