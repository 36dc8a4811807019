"""The documented tables: every line, every total, and what is wrong with them."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from decimal import Decimal

import pytest

import pixelserve_deploy.cost
from pixelserve_deploy import cli
from pixelserve_deploy.cost.documented import choose_cases, format_amount, load_cases
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT, find_policy

PRINTED = {
    "image_super_resolution/us-east-2/sagemaker": ("648.21", "3.5 360 0.05 0.05 204.61 16 64"),
    "human_image_segmentation/cn-northwest-1/lambda": ("2001.83", "1.36 1815.6 28.94 93.3 62.28 0.35"),
    "human_image_segmentation/us-east-2/lambda": ("284.55", "0.20 266.8 3.5 9 5 0.05"),
    "image_similarity/cn-northwest-1/lambda": ("1237.06", "1.36 1134.8 28.94 9.33 62.28 0.35"),
    "image_similarity/us-east-2/lambda": ("176.35", "0.20 166.7 3.5 0.9 5 0.05"),
}
"""Copied from the documents, apart from the data that the package reads."""
WRONG = "image_super_resolution/us-east-2/sagemaker"


def test_all_31_lines_and_5_totals_are_as_printed() -> None:
    found = {case.id: case.estimate(AS_DOCUMENTED) for case in load_cases()}
    figures = {id: (str(bill.total), " ".join(map(format_amount, bill.lines))) for id, bill in found.items()}
    assert figures == PRINTED
    assert sum(len(bill.lines) for bill in found.values()) == 31
    for case in load_cases():
        assert case.as_printed(found[case.id]) == (len(case.rows), True)
        assert [row.printed for row in case.rows] == PRINTED[case.id][1].split()
        assert [row.amount_zh[1:] for row in case.rows] == PRINTED[case.id][1].split()


def test_one_line_is_wrong_and_only_its_erratum_reproduces_it() -> None:
    (case,) = choose_cases([WRONG])
    assert str(case.estimate(AS_DOCUMENTED).total) == "648.21"
    assert str(replace(case, errata=()).estimate(AS_DOCUMENTED).total) == "653.16"
    corrected = case.estimate(DOCUMENTED_CORRECTED)
    assert str(corrected.total) == "653.16"
    (line,) = [line for line in corrected.lines if line.erratum]
    assert (line.key, line.amount) == ("logs", line.erratum.expected)


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.id)
def test_the_other_tables_have_nothing_to_correct(case) -> None:
    expected = "653.16" if case.id == WRONG else case.printed_total
    assert str(case.estimate(DOCUMENTED_CORRECTED).total) == expected


def test_exact_counts_base64_and_rounds_nothing() -> None:
    lines = {line.key: line.amount for line in choose_cases([WRONG])[0].estimate(EXACT).lines}
    assert lines["data-transfer-out"] == Decimal("5333336") * 10**6 / 10**9 * Decimal("0.09")
    assert lines["hosting"] == Decimal(10**6) / 3600 * Decimal("0.736")
    (seconds,) = [line.amount for line in load_cases()[2].estimate(EXACT).lines if line.key == "lambda-duration"]
    assert seconds == Decimal("266.6672")


def test_names_choose_tables_and_wrong_ones_list_them() -> None:
    assert [case.id for case in choose_cases(["image-similarity"])] == [case.id for case in load_cases()[3:]]
    assert len(choose_cases(["image_similarity", "image_similarity/us-east-2"])) == 2
    assert [case.id for case in choose_cases(["image_super"])] == [WRONG]
    with pytest.raises(
        CostError, match=r"There is no table picture\. Tables: image_super_resolution/us-east-2/sagemaker"
    ):
        choose_cases(["picture"])
    with pytest.raises(CostError, match="Policies: as-documented, documented-corrected, exact"):
        find_policy("rounded")
    assert find_policy("as_documented") is AS_DOCUMENTED


def test_the_json_is_the_documented_form(capsys) -> None:
    assert cli.main(["cost", "table", "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert {
        table["id"]: (table["total"], " ".join(row["amount"] for row in table["rows"])) for table in tables
    } == PRINTED
    assert all(list(table) == ["id", "currency", "policy", "rows", "total"] for table in tables)
    rows = [row for table in tables for row in table["rows"]]
    assert all(list(row) == ["service", "usage", "amount", "status", "erratum"] for row in rows)
    assert [row["erratum"] for row in rows if row["erratum"]] == [
        {"printed": "0.05", "expected": "5.00", "why": "10 GB x 0.50 is 5.00; printed 0.05"}
    ]
    assert {row["status"] for row in rows} == {"documented", "derived"}
    assert {table["currency"] for table in tables} == {"USD", "CNY"}


def test_chinese_is_the_documents_own(capsys) -> None:
    assert cli.main(["cost", "table", "--lang", "zh", "--format", "markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| Amazon SageMaker | 终端节点实例需要运行278小时，ml.g4dn.xlarge $0.736/小时 | $204.61 |" in printed
    assert "| Amazon Lambda运行 | 内存4096MB，每次运行4秒 | ¥1815.6 | ! derived |" in printed
    assert "| 合计 |  | ¥2001.83 |" in printed


def test_explain_names_formula_rounding_and_source(capsys) -> None:
    assert cli.main(["cost", "table", "image_similarity/us-east-2", "--explain"]) == 0
    printed = capsys.readouterr().out
    assert "1,000,000 x 1 s x 1000 = 1,000,000,000 ms; 1,000,000,000 x 0.0000001667 = 166.7." in printed
    assert "Rounding price per ms to 10 decimals, to the cent, half up." in printed
    assert "Price documented, 2022-06: AWS AI Solution Kit, document of image super-resolution, 2022-06." in printed
    assert "Remark: the text names SageMaker as a factor and gives no table of it." in printed


def test_the_packages_example_is_true() -> None:
    assert doctest.testmod(pixelserve_deploy.cost) == (0, 4)
