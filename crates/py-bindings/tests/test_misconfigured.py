"""Mistakes that time does not correct are errors of their own, with the remedy in sight."""

from __future__ import annotations

import asyncio
import pickle
import traceback

import doorward
import pytest
from doorward.testing import Issuer


def mistake(made: doorward.Issuer, token: str) -> doorward.IssuerMisconfigured:
    with pytest.raises(doorward.IssuerMisconfigured) as caught:
        made.verifier("churn").verify(token)
    with pytest.raises(doorward.IssuerMisconfigured):
        asyncio.run(made.verifier("churn").verify_async(token))
    error = caught.value
    assert error.code == "issuer_misconfigured"
    assert not hasattr(error, "retry_after")
    assert "later" not in str(error)
    return error


def test_a_slash_at_the_end_is_named(issuer: Issuer) -> None:
    url = issuer.url + "/"
    error = mistake(doorward.Issuer(url), issuer.mint(audience="churn", issuer=url))
    assert error.member == "issuer"
    assert issuer.url in error.message
    assert error.remedy and "slash" in error.remedy


def test_a_misspelt_realm_is_named(issuer: Issuer) -> None:
    url = issuer.url + "x"
    error = mistake(doorward.Issuer(url), issuer.mint(audience="churn", issuer=url))
    assert error.member == "url"
    assert "404" in error.message


def test_https_to_a_plain_port_is_named(issuer: Issuer) -> None:
    url = issuer.url.replace("http:", "https:")
    error = mistake(doorward.Issuer(url), issuer.mint(audience="churn", issuer=url))
    assert "does not speak TLS" in error.message


def test_a_token_request_names_the_mistake_too(issuer: Issuer) -> None:
    tokens = doorward.Issuer(issuer.url + "/").client_credentials("client", secret="hunter2")
    with pytest.raises(doorward.IssuerMisconfigured) as caught:
        tokens.token()
    assert caught.value.member == "issuer"
    assert "hunter2" not in str(caught.value)


def test_the_remedy_is_in_text_and_traceback(issuer: Issuer) -> None:
    url = issuer.url + "/"
    error = mistake(doorward.Issuer(url), issuer.mint(audience="churn", issuer=url))
    assert error.remedy and error.remedy not in error.message
    assert str(error) == f"{error.message}; {error.remedy}"
    assert error.remedy in "".join(traceback.format_exception(error))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.member) == (str(error), error.member)


def test_another_address_leads_to_the_same_issuer(issuer: Issuer) -> None:
    token = issuer.mint(audience="churn")
    made = doorward.Issuer(issuer.url, discovery_url=issuer.url + "/.well-known/openid-configuration")
    assert made.verifier("churn").verify(token).issuer == issuer.url
    url = "https://id.example/realms/dev"
    error = mistake(doorward.Issuer(url, discovery_url=issuer.url), issuer.mint(audience="churn", issuer=url))
    assert error.member == "issuer", "the document must name the issuer that is trusted"
    with pytest.raises(doorward.ConfigurationError, match="discovery_url"):
        doorward.Issuer(issuer.url, discovery_url="keycloak")


def test_plain_http_needs_its_host_listed() -> None:
    url = "http://keycloak:8080/realms/lab"
    with pytest.raises(doorward.ConfigurationError, match="dangerous_allow_http"):
        doorward.Issuer(url)
    with pytest.raises(doorward.ConfigurationError):
        doorward.Issuer(url, dangerous_allow_http=["other"])
    with pytest.raises(doorward.ConfigurationError, match="not a host"):
        doorward.Issuer(url, dangerous_allow_http=["http://keycloak:8080"])
    assert doorward.Issuer(url, dangerous_allow_http="keycloak").url == url
