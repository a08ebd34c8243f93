"""The page of the package on an index: its text renders, its links lead somewhere, its classifiers exist, its table is true."""

from __future__ import annotations

import io
import re
from importlib import metadata

import pytest
from readme_renderer import markdown
from trove_classifiers import classifiers

from .floors import stated
from .guide import REPOSITORY

README = (REPOSITORY / "crates/py-bindings/README.md").read_text()
PAGES = "https://github.com/doorward/doorward/blob/main/"


def described(package: str) -> metadata.PackageMetadata:
    return metadata.metadata(package)


def test_the_page_is_the_readme_and_renders() -> None:
    about = described("doorward")
    assert about["Description-Content-Type"].startswith("text/markdown")
    assert README.strip() in (metadata.distribution("doorward").read_text("METADATA") or "")
    warnings = io.StringIO()
    page = markdown.render(README, stream=warnings)
    assert page is not None and not warnings.getvalue()
    assert page.count("<table>") == 1 and page.count("<pre") >= 5


@pytest.mark.parametrize("package", ["doorward", "doorward-testing"])
def test_classifiers_exist(package: str) -> None:
    found = described(package).get_all("Classifier") or []
    assert len(found) > 8 and set(found) <= set(classifiers)
    # Only where the wheel is built and tested.
    assert [each for each in found if each.startswith("Operating System")] == ["Operating System :: POSIX :: Linux"]


def test_the_metadata_is_complete() -> None:
    about = described("doorward")
    assert (about["Requires-Python"], about["License-Expression"]) == (">=3.10", "Apache-2.0 OR MIT")
    assert len(about["Summary"]) < 120
    assert len(about["Keywords"].split(",")) >= 8
    urls = dict(each.split(", ", 1) for each in about.get_all("Project-URL") or [])
    assert {"Homepage", "Documentation", "Repository", "Issues", "Changelog"} <= set(urls)
    for url in urls.values():
        assert not url.startswith(PAGES) or (REPOSITORY / url.removeprefix(PAGES)).exists()


def test_every_link_leads_to_a_page() -> None:
    links = re.findall(r"\]\((.*?)\)", README)
    assert len(links) > 15
    for link in links:
        # A page on an index has no neighbours.
        assert link.startswith(PAGES), link
        assert (REPOSITORY / link.removeprefix(PAGES)).is_file(), link


def test_the_table_has_every_extra_with_its_version() -> None:
    rows = [row.strip("| ").split(" | ") for row in README.splitlines() if row.startswith("| ") and "`" in row]
    shown = {extra: version for row in rows for extra, version in re.findall(r"`([a-z0-9]+)`(?:: (?:grpcio )?([0-9.]+[0-9]))?", row[2])}
    assert set(shown) == set(stated())
    for extra, version in shown.items():
        floors = {each.partition(">=")[2] for each in stated()[extra]}
        assert version == ("3.1" if extra == "airflow" else version) and (extra in ("airflow", "testing") or version in floors), (extra, version)


def test_the_page_fits_one_screen_of_text() -> None:
    assert len(README.splitlines()) < 120
