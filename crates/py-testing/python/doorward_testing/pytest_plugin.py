"""Fixtures for pytest, registered by this distribution and no other.

``issuer`` (also ``doorward_issuer``, where a test suite has an ``issuer`` of its own) is a :class:`doorward.testing.Issuer`: a fresh
provider for each test, closed afterwards::

    def test_a_stale_token_is_refused(issuer, api):
        answer = api.get("/score", headers={"Authorization": f"Bearer {issuer.mint(expired=True)}"})
        assert answer.status_code == 401
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import Issuer


@pytest.fixture
def doorward_issuer() -> Iterator[Issuer]:
    """A real OpenID provider in this process, for this test."""
    from . import Issuer

    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(doorward_issuer: Issuer) -> Issuer:
    """A real OpenID provider in this process, for this test."""
    return doorward_issuer
