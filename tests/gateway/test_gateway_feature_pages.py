"""The pages of features: as their script writes them, and as the documents of AI Solution Kit say it, word for word."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator

import pytest
from documents import load_tool
from gateway_documents import SEEDS, section

from pixelserve.features import FEATURES, Feature

TOOL = load_tool("feature-pages")


def document(feature: Feature) -> str:
    """The feature's document; the test is skipped where it is not."""
    found = sorted(SEEDS.glob(f"{FEATURES.index(feature):03}_*.txt"))
    if not found:
        pytest.skip("the documents are not here: the pages cannot be compared with them")
    return found[0].read_text()


def chinese(feature: Feature) -> str:
    return str(TOOL.pages()[TOOL.FOLDER / f"{feature.name}.zh.md"])


def table_rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of each row of the text's tables, without marks of Markdown."""
    for line in text.splitlines():
        cells = [re.sub(r"&nbsp;|\*(?=\w)|(?<=\w)\*", "", cell).strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 1 and not set("".join(cells)) <= set("-: "):
            yield tuple(filter(None, cells))


def of_all(features: tuple[Feature, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("feature", features, ids=lambda feature: feature.name)


def test_pages_are_as_the_script_writes_them() -> None:
    assert {path: path.read_text() for path in TOOL.FOLDER.iterdir()} == TOOL.pages()


def test_both_languages_explain_every_field() -> None:
    for feature in FEATURES:
        assert list(TOOL.DETAILS[feature.name]["parameters"]) == list(feature.request.model_fields)


@of_all(FEATURES[:2])
def test_front_matter_is_the_documents(feature: Feature) -> None:
    matter = re.match(r"---\n(.*?)\n---\n", document(feature), re.DOTALL)
    assert matter is not None
    said = dict(line.split(": ", 1) for line in matter[1].splitlines())
    documented = dataclasses.asdict(feature.documented)
    del documented["quotas"]
    assert documented == said
    page = chinese(feature)
    assert [name for name, value in said.items() if f"| `{name}` | {value} |" not in page] == []


def test_what_the_document_without_front_matter_says() -> None:
    feature = FEATURES[2]
    text, said, page = document(feature), feature.documented, chinese(feature)
    title, description, _, scenario = text.splitlines()[:4]
    assert (said.feature_name, said.feature_description, said.feature_scenario) == (title, description, scenario)
    assert f"卸载时间:{said.destroy_time}" in text
    assert (said.feature_id, said.feature_endpoint, said.deployment_time) == ("", "", "")
    uninstall = section(text, "卸载部署", "卸载时间:10 分钟") if text.endswith("\n") else text.split("卸载部署\n")[1]
    for line in uninstall.splitlines():
        assert line in page


def test_quotas_and_their_tickets_are_on_every_page() -> None:
    text = document(FEATURES[0])
    quotas = re.findall(r"^- (.*)$", section(text, "## 配额说明", "## API参数说明"), re.MULTILINE)
    assert list(FEATURES[0].documented.quotas) == quotas
    assert len(quotas) == 2
    for feature in FEATURES:
        for page in (TOOL.write_page(feature, language) for language in ("en", "zh")):
            assert [quota for quota in quotas if f"- {quota}\n" not in page] == []


@of_all(FEATURES)
def test_parameters_answers_and_costs_are_the_documents(feature: Feature) -> None:
    rows = list(table_rows(document(feature)))
    assert len(rows) > 10
    heads = {row for row in rows if row[0].strip("*") in ("名称", "服务")}
    ours = list(table_rows(chinese(feature)))
    missing = [row for row in rows if row not in heads and not any(row == own[: len(row)] for own in ours)]
    assert missing == []


@of_all(FEATURES)
def test_bodies_are_the_documents(feature: Feature) -> None:
    text = document(feature).replace("{{page.meta.sample_image}}", feature.documented.sample_image)
    bodies = [
        found for found in re.findall(r"^\{\n(?:.*\n)*?\}$", text, re.MULTILINE) if re.search('"(url|img)', found)
    ]
    page = chinese(feature)
    assert bodies
    assert [body for body in bodies if body not in page] == []
    shown = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    for body in shown:
        assert set(json.loads(body)) <= set(feature.request.model_fields)


@of_all(FEATURES)
def test_steps_of_explorer_and_postman_are_the_documents(feature: Feature) -> None:
    """Each line of the one document that has them. Of the others one tells in its own line where its URL is found."""
    steps = section(document(FEATURES[2]), "API资源浏览器", "cURL")
    lines = [line.removeprefix("- ").strip() for line in steps.splitlines() if line.strip("- ")]
    assert len(lines) > 20
    if feature is not FEATURES[2]:
        lines = [line for line in lines[: lines.index("{")] if "Image Similarity" not in line]
        lines += re.findall(r"^您可以在.*为前缀的.*$", document(feature), re.MULTILINE)
    page = chinese(feature)
    assert [line for line in lines if line not in page] == []


@of_all(FEATURES)
def test_samples_are_the_documents(feature: Feature) -> None:
    """But for the path, and indentation, which the document has lost."""
    text = section(document(FEATURES[2]), "cURL", "成本预估").replace("text_similarity", feature.name)
    lines = [line.strip() for line in text.splitlines() if not line.startswith(("- ", "Python(", "Java"))]
    for page in (TOOL.write_page(feature, language) for language in ("en", "zh")):
        blocks = re.findall(r"^```(?:bat|sh|py|java)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        shown = [line.strip() for block in blocks[:5] for line in block.splitlines()]
        assert shown == lines
