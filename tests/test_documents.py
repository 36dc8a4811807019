"""The documents: links lead somewhere, both languages are whole, and pages say what the code says."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from documents import blocks, headings, load_tool
from servers import ROOT

import pixelserve
from pixelserve_deploy.cli import COMMANDS
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.reading import parse_specs
from pixelserve_deploy.deployment.refusals import refuse

READMES = ("README.md", "README.zh.md")
FOLDERS = ("benchmarks", "code", "container", "deploy", "docs", "notebooks", "tests", "tools", "training")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
LINK = re.compile(r"\]\(([^)\s]+)\)")
NODE = re.compile(r'(\w+?)\d+\["([^"]+)"\]')


def _anchors(page: Path) -> set[str]:
    """What may follow the # of a link to the page, as GitHub makes it of the headings."""
    titles = [title.lower() for _, title in headings(str(page.relative_to(ROOT)))]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_there_are_links() -> None:
    assert len(LINK.findall((ROOT / "README.md").read_text())) > 20


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_both_languages_have_the_same_headings() -> None:
    english, chinese = ([level for level, _ in headings(name)] for name in READMES)
    assert english == chinese


def test_both_languages_show_the_same_code() -> None:
    english, chinese = (
        [(block.language, re.sub(r" +#.*", "", block.text)) for block in blocks(name)] for name in READMES
    )
    assert english == chinese


def test_both_languages_have_the_same_tables_links_and_pictures() -> None:
    english, chinese = ((ROOT / name).read_text() for name in READMES)
    for pattern in (r"^\|(?!-)", r"^\|---.*$"):
        assert len(re.findall(pattern, english, re.MULTILINE)) == len(re.findall(pattern, chinese, re.MULTILINE))
    assert set(LINK.findall(english)) - set(READMES) == set(LINK.findall(chinese)) - set(READMES)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_has_at_most_150_lines(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", READMES)
def test_a_readme_lists_every_command(name: str) -> None:
    assert re.findall(r"^\| `pixelserve (\w+)` \|", (ROOT / name).read_text(), re.MULTILINE) == list(COMMANDS)


def test_the_page_of_requests_holds_the_tables_of_the_code() -> None:
    tool = load_tool("requests-tables")
    assert tool.PAGE.read_text() == tool.filled(tool.PAGE.read_text())


def test_the_page_of_requests_explains_every_code() -> None:
    tool = load_tool("requests-tables")
    rows = set(re.findall(r"^\| \d+ \| `(\w+)`", tool.codes(), re.MULTILINE))
    assert rows == set(tool.MEANINGS)


def test_the_page_of_deploying_and_the_schema_are_those_of_the_code() -> None:
    tool = load_tool("deploy-fields")
    assert tool.PAGE.read_text() == tool.filled(tool.PAGE.read_text())
    assert tool.SCHEMA.read_text() == tool.schema()


def test_the_files_on_the_page_of_deploying_can_be_deployed() -> None:
    files = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE | re.DOTALL)
    specs = [spec for file in files for spec in parse_specs(file).values()]
    assert [spec.name for spec in specs] == ["upscaler", "upscaler-large", "pictures"]
    assert [refusal for spec in specs for refusal in refuse(spec, Facts("us-east-2"))] == []


def test_the_page_under_fire_has_every_kind_of_attack_and_the_figures_that_were_noted() -> None:
    tool = load_tool("fire-tables")
    page = tool.PAGE.read_text()
    assert page == tool.filled(page)
    assert re.findall(r"^\| (\d+) \| .+ \| .+ \| \[.+\]\(\.\./tests/.+\) \|$", page, re.MULTILINE) == [
        str(number) for number in range(1, 45)
    ]


def test_the_page_of_handlers_explains_every_name() -> None:
    page = (ROOT / "docs" / "own-model.md").read_text()
    assert [name for name in pixelserve.__all__ if f"`{name}`" not in page] == []


def test_the_changelog_names_what_has_moved() -> None:
    page = (ROOT / "CHANGELOG.md").read_text()
    faces = [path for path in (ROOT / "container" / "pixelserve").rglob("__init__.py") if "moved=" in path.read_text()]
    assert faces
    for path in faces:
        package = ".".join(path.parent.relative_to(ROOT / "container").parts)
        _, _, moved = path.read_text().partition("moved=")
        for name, place in re.findall(r'"(\w+)": "([\w.:]+)"', moved.partition("}")[0]):
            assert f"`{package}.{name}`: it is `{place.replace(':', '.')}`" in page


def test_the_picture_of_floors_is_that_of_the_contracts() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / "setup.cfg")
    drawn: dict[str, list[str]] = {}
    for picture, label in NODE.findall((ROOT / "ARCHITECTURE.md").read_text()):
        drawn.setdefault(picture, []).append(label)
    for picture, contract in (
        ("floor", "floors"),
        ("serving", "serving-floors"),
        ("gateway", "gateway-floors"),
        ("deploy", "deploy-floors"),
    ):
        layers = contracts[f"importlinter:contract:{contract}"]["layers"].split("\n")
        assert drawn[picture] == [layer.replace("pixelserve.", "") for layer in layers if layer]
