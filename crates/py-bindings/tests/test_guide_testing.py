"""The lines of docs/guides/python-testing.md: suites of tests that pass, and that fail where the service is at fault."""

from __future__ import annotations

from typing import Any

import pytest

from .guide import REPOSITORY, Page

PAGE = Page("python-testing.md")

SUITES = [block for block in PAGE.blocks if "def test_" in block]


def test_the_suites_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "examples/python"))
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(SUITES)})
    pytester.runpytest_subprocess().assert_outcomes(passed=21)


def test_the_suites_fail_for_a_service_that_accepts_all_tokens(pytester: pytest.Pytester) -> None:
    service = """
        from fastapi import FastAPI

        def churn_api(verifier):
            app = FastAPI()
            app.get("/model")(lambda: {})
            return app
    """
    pytester.makepyfile(churn_api=service, test_churn=PAGE.block("from churn_api import"))
    pytester.runpytest_subprocess().assert_outcomes(passed=1, failed=10)


def test_without_pytest() -> None:
    names: dict[str, Any] = {}
    PAGE.run(PAGE.block("with Issuer() as issuer:"), names)
    assert names["verifier"].issuer == names["issuer"].url


def test_every_block_is_run() -> None:
    assert {*SUITES, PAGE.block("with Issuer() as issuer:")} == set(PAGE.blocks)
