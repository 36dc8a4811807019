"""The files of explorer and playground, how they are sent, and the table of costs."""

from __future__ import annotations

import hashlib
import json
import re

import httpx
import pytest
from documents import load_tool
from servers import ROOT

from pixelserve.features import FEATURES
from pixelserve_gateway.dialects import native

STATIC = ROOT / "container" / "pixelserve_gateway" / "page" / "static"
PAGES = ("/", "/explorer")
PUBLISHED = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files of swagger-ui-dist 5.35.0."""


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_pages_are_sent_with_a_strict_policy(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search("unsafe|https?:", answer.headers["content-security-policy"])


@pytest.mark.parametrize("name", ["playground.html", "explorer.html"])
def test_the_pages_hold_no_script_no_style_and_no_address_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text()
    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    for link in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert not re.match(r"\w+:|//|/", link), link


def test_every_file_that_a_page_names_is_there(client: httpx.Client) -> None:
    named = set()
    for path in STATIC.glob("*.*"):
        named |= set(re.findall(r'["(](page/[\w./-]+)["?)]', path.read_text()))
        named |= {f"page/{module}" for module in re.findall(r'from "\./([\w.]+)"', path.read_text())}
    assert len(named) > 10
    for name in named:
        assert client.get(f"/{name}").status_code == 200, name


@pytest.mark.parametrize(
    "name",
    [
        "../routes.py",
        "%2e%2e/routes.py",
        "swagger",
        "swagger/LICENSE",
        "nothing.js",
        "",
        "//etc/passwd.txt",
        "theme%00.js",
    ],
)
def test_nothing_else_is_sent(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_what_the_reader_has_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/page/swagger/swagger-ui-bundle.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = client.get("/page/swagger/swagger-ui-bundle.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_query_with_an_action_is_not_the_playgrounds_affair(client: httpx.Client) -> None:
    upload = client.get("/?Action=ApplyImageUpload&Version=2018-08-01")  # of Dreamina's clients
    assert upload.headers["content-type"].startswith("application/json")
    for page in ("/?utm=1", "/?Action", "/explorer?Action=x"):
        assert client.get(page).headers["content-type"].startswith("text/html"), page


def test_the_pages_know_every_served_feature(client: httpx.Client) -> None:
    service = client.get("/page/service.json").json()
    assert service["authorization"] == "NONE"
    assert [feature["name"] for feature in service["features"]] == [feature.name for feature in FEATURES]
    for told, feature in zip(service["features"], FEATURES, strict=True):
        assert f"/{told['path']}" == native.PATHS[feature.name]
        assert told["title"] == {"en": feature.title, "zh": feature.title_zh}


def test_the_pages_are_no_part_of_the_api(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(native.PATHS.values()) <= paths.keys()
    assert not [path for path in paths if path == "/" or path.startswith(("/page", "/explorer"))]


def test_swagger_ui_is_as_published() -> None:
    folder = STATIC / "swagger"
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    found.pop("README.md")
    assert found == PUBLISHED
    assert all(path.stat().st_size < 2_000_000 for path in folder.iterdir())


def test_the_costs_are_as_the_estimator_makes_them() -> None:
    assert (STATIC / "costs.json").read_text() == load_tool("playground-costs").table()


def test_every_feature_and_format_has_costs() -> None:
    rows = json.loads((STATIC / "costs.json").read_text())["rows"]
    assert {row["feature"] for row in rows} == {feature.name for feature in FEATURES}
    upscaled = [row for row in rows if row["feature"] == "image_super_resolution"]
    assert {(row["scale"], row["format"]) for row in upscaled} == {
        (scale, codec) for scale in (2, 4) for codec in ("jpeg", "png", "webp")
    }
    for row in rows:
        assert row["costs"]
        assert min(row["costs"].values()) > 0
