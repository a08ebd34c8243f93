"""File systems that read with a token, here and in other processes."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import dask.bag
import dask.config
import fsspec
import pytest
from dask.base import compute, tokenize

import doorward
import doorward.fsspec
from doorward.testing import Issuer

from .conftest import Api

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # From 3.12 on Python warns of every fork beside threads.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


@pytest.fixture
def settings(issuer: Issuer, tmp_path: Path) -> dict[str, str]:
    issuer.add_client("loader", "the secret of the loader", scopes=["read"], audience="data")
    (tmp_path / "loader").write_text("the secret of the loader")
    folder = tmp_path / "tokens"
    return {"issuer": issuer.url, "client_id": "loader", "secret_file": str(tmp_path / "loader"), "scope": "read", "cache_dir": str(folder)}


@pytest.fixture
def client(settings: dict[str, str], api: Api) -> doorward.fsspec.Client:
    return doorward.fsspec.Client(api.url, **settings)


@pytest.fixture(autouse=True)
def without_kept_file_systems() -> Iterator[None]:
    yield
    fsspec.get_filesystem_class("http").clear_instance_cache()


def read(url: str, get_client: Any) -> bytes:
    content: bytes = fsspec.filesystem("http", get_client=get_client).cat(url)
    return content


def test_a_configured_client_reads_with_a_token(client: doorward.fsspec.Client, api: Api, issuer: Issuer) -> None:
    assert [read(f"{api.url}/{name}", client) for name in "abc"] == [b"welcome"] * 3
    (token,) = set(api.tokens)
    assert issuer.verifier("data").verify(token).scopes >= {"read"}
    assert issuer.requests("token") == 1


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_pickle_holds_neither_token_nor_secret(library: Any, client: doorward.fsspec.Client, api: Api) -> None:
    files = fsspec.filesystem("http", get_client=client)
    assert files.cat(api.url) == b"welcome"
    pickled = library.dumps(files)
    (token,) = api.tokens
    assert b"the secret of the loader" not in pickled
    assert token.encode() not in pickled and token.split(".")[2].encode() not in pickled
    assert library.loads(pickled).cat(api.url) == b"welcome"
    assert library.loads(library.dumps(client)) == client


@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_workers_read_with_a_shared_token(start: str, client: doorward.fsspec.Client, api: Api, issuer: Issuer) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as workers:
        urls = [f"{api.url}/{number}" for number in range(4)]
        assert list(workers.map(read, urls, [client] * len(urls))) == [b"welcome"] * 4
    assert issuer.requests("token") == len(set(api.tokens)) == 1


def test_a_client_has_the_same_token_of_dask_everywhere(client: doorward.fsspec.Client, settings: dict[str, str], api: Api) -> None:
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        here = tokenize(client)
        assert here == tokenize(doorward.fsspec.Client(api.url, **settings))
        assert here != tokenize(doorward.fsspec.Client(api.url, **{**settings, "scope": "write"}))
        assert here != tokenize(doorward.fsspec.Client("https://data.internal", **settings))
    program = f"import doorward.fsspec, dask.base; print(dask.base.tokenize({client!r}))"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.strip() == here


def test_dask_reads_in_its_workers(client: doorward.fsspec.Client, api: Api, issuer: Issuer) -> None:
    bag = dask.bag.read_text([f"{api.url}/{name}" for name in "ab"], storage_options={"get_client": client})
    assert compute(bag, scheduler="processes", num_workers=2)[0] == ["welcome"] * 2
    assert issuer.requests("token") == len(set(api.tokens)) == 1


def test_equal_clients_are_one_file_system(client: doorward.fsspec.Client, settings: dict[str, str], api: Api) -> None:
    first = fsspec.filesystem("http", get_client=client)
    assert fsspec.filesystem("http", get_client=doorward.fsspec.Client(api.url, **settings)) is first
    assert fsspec.filesystem("http", get_client=doorward.fsspec.Client(api.url, **{**settings, "scope": "write"})) is not first


def test_a_client_of_this_process_says_what_to_use(api: Api, tokens: doorward.TokenSource) -> None:
    files = fsspec.filesystem("http", get_client=doorward.fsspec.client(tokens, api.url))
    for library in (pickle, cloudpickle):
        for thing in (files, doorward.fsspec.client(tokens, api.url)):
            with pytest.raises(TypeError, match="cannot be pickled: it holds credentials; use doorward.fsspec.Client"):
                library.dumps(thing)
    assert files.cat(api.url) == b"welcome"


def test_dask_threads_use_a_client_of_this_process(api: Api, tokens: doorward.TokenSource) -> None:
    here, other = (doorward.fsspec.client(tokens, api.url) for _ in range(2))
    assert tokenize(here) == tokenize(here) != tokenize(other)
    bag = dask.bag.read_text(f"{api.url}/a", storage_options={"get_client": here})
    assert compute(bag, scheduler="threads")[0] == ["welcome"]


def test_what_is_configured_is_checked(settings: dict[str, str], api: Api) -> None:
    with pytest.raises(doorward.ConfigurationError, match="missing client_id"):
        doorward.fsspec.Client(api.url, **{**settings, "client_id": ""})
    with pytest.raises(ValueError, match="name the origins"):
        doorward.fsspec.Client(**settings)
    with pytest.raises(TypeError, match="secret"):
        doorward.fsspec.Client(api.url, **settings, secret="in a pickle")  # type: ignore[call-arg]
    with pytest.raises(doorward.ConfigurationError):
        read(api.url, doorward.fsspec.Client(api.url, **{**settings, "key_id": "1", "assertion_file": "/run/secrets/token"}))
