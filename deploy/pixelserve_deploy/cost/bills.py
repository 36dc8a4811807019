"""Bills as reports: the documented tables, and estimates with each line's share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pixelserve_deploy.cost.amounts import SYMBOLS, format_money, format_plain, round_half_up
from pixelserve_deploy.cost.documented import DocumentedCase, format_amount
from pixelserve_deploy.cost.engine import Estimate, LineItem
from pixelserve_deploy.cost.pricebook import Allowance
from pixelserve_deploy.reports import Bar, Report, Section, Table, draw_bars

WORDS = {
    "en": ("Service", "Usage", "Amount", "Total", "Price is"),
    "zh": ("服务", "用量", "费用", "合计", "价格状态"),
}
BILL_COLUMNS = ("id", "currency", "policy", "line", "service", "usage", "amount", "status", "erratum")


def build_bill_data(
    bill: Estimate, texts: Sequence[tuple[str, str]], amounts: Sequence[str], total: str
) -> dict[str, Any]:
    """The JSON of a bill; amounts are strings."""
    return {
        "id": bill.id,
        "currency": bill.currency,
        "policy": bill.policy.name,
        "rows": [
            {"service": service, "usage": usage, "amount": amount, "status": line.status, "erratum": _erratum(line)}
            for line, (service, usage), amount in zip(bill.lines, texts, amounts, strict=True)
        ],
        "total": total,
    }


def explain_line(line: LineItem) -> dict[str, str]:
    """Where a line's figure comes from."""
    return {
        "line": line.key,
        "formula": line.formula,
        "units": line.unit_system,
        "rounding": line.rounding,
        "price_as_of": line.price.as_of,
        "source": line.price.source,
    }


def build_tables_report(
    cases: Sequence[DocumentedCase], bills: Sequence[Estimate], language: str, explain: bool
) -> Report:
    """The documented tables, each beside its bill."""
    sections, data, flat = [], [], []
    for case, bill in zip(cases, bills, strict=True):
        texts = _texts(case, bill, language)
        amounts = [format_amount(line) if bill.policy.cents else format_plain(line.amount) for line in bill.lines]
        entry = build_bill_data(bill, texts, amounts, format_plain(bill.total))
        if explain:
            entry["remarks"] = case.remarks
            for row, line in zip(entry["rows"], bill.lines, strict=True):
                row |= explain_line(line)
        data.append(entry)
        flat += flatten_bill(entry, bill)
        sections.append(_documented_section(case, bill, texts, amounts, language, explain))
    title = "成本预估" if language == "zh" else "Documented cost tables"
    return Report(title, tuple(sections), data, Table(BILL_COLUMNS, tuple(flat)), language)


def _texts(case: DocumentedCase, bill: Estimate, language: str) -> list[tuple[str, str]]:
    """Service and usage of each line: the document's words for its own amounts, and the engine's for exact ones."""
    services = [row.service_zh if language == "zh" else row.service for row in case.rows]
    printed = [row.usage_zh if language == "zh" else row.usage for row in case.rows]
    reckoned = [line.usage for line in bill.lines]
    return list(zip(services, printed if bill.policy.cents else reckoned, strict=True))


def flatten_bill(entry: dict[str, Any], bill: Estimate) -> list[tuple[str, ...]]:
    """A bill's lines for the CSV."""
    head = (entry["id"], entry["currency"], entry["policy"])
    return [
        (*head, line.key, row["service"], row["usage"], row["amount"], row["status"],
         row["erratum"]["why"] if row["erratum"] else "")
        for row, line in zip(entry["rows"], bill.lines, strict=True)
    ]  # fmt: skip


def _documented_section(
    case: DocumentedCase,
    bill: Estimate,
    texts: Sequence[tuple[str, str]],
    amounts: Sequence[str],
    language: str,
    explain: bool,
) -> Section:
    service, usage, amount, total, status = WORDS[language]
    symbol = SYMBOLS[bill.currency]
    shown = amounts if bill.policy.cents else [format_money(line.amount, "USD")[1:] for line in bill.lines]
    whole = format_plain(bill.total) if bill.policy.cents else format_money(bill.total, "USD")[1:]
    rows = [
        (*text, symbol + figure, mark_status(line)) for text, figure, line in zip(texts, shown, bill.lines, strict=True)
    ]
    rows.append((total, "", symbol + whole, ""))
    lines, whole_matches = case.as_printed(bill)
    notes = [_agreement(language, lines, len(case.rows), whole_matches)]
    notes += [f"Erratum: {line.erratum.why}." for line in bill.lines if line.erratum]
    if explain:
        notes += [f"Remark: {remark}." for remark in case.remarks]
        notes += explain_lines(bill.lines)
    title = f"{case.id} ({bill.policy.name}, {bill.currency}, prices {bill.book})"
    return Section(title, Table((service, usage, amount, status), tuple(rows), frozenset({amount}), total=True),
                   tuple(notes), chart_bill(bill))  # fmt: skip


def _agreement(language: str, lines: int, of: int, total: bool) -> str:
    """How much of the document the bill reproduces."""
    if language == "zh":
        return f"{of} 行中 {lines} 行与文档一致,合计{'一致' if total else '不一致'}。"
    return f"{lines} of {of} lines as printed, and the total {'too' if total else 'is not'}."


def mark_status(line: LineItem) -> str:
    """The price's status; derived and unverified ones stand out."""
    return f"! {line.status}" if line.marked else line.status


def explain_lines(lines: Sequence[LineItem]) -> list[str]:
    """Formula, units, rounding and source of each line, as sentences."""
    return [
        f"{line.service}, {line.key}: {line.formula}. Units {line.unit_system}. Rounding {line.rounding}. "
        f"Price {line.status}, {line.price.as_of}: {line.price.source}."
        for line in lines
    ]


def chart_bill(bill: Estimate) -> Callable[[], str]:
    """The bill's lines as bars."""
    items = [
        Bar(
            line.key.replace("-", " "),
            float(line.amount),
            f"{format_money(line.amount, bill.currency)}, {format_share(line, bill)}",
        )
        for line in bill.lines
    ]
    return lambda: draw_bars(items)


def format_share(line: LineItem, bill: Estimate) -> str:
    """The line's part of the total."""
    return f"{round_half_up(100 * line.amount / bill.total, 1)} %" if bill.total else "-"


def build_estimate_section(bill: Estimate, explain: bool) -> Section:
    """An estimate with each line's share, of the month and of a million images."""
    currency, requests = bill.currency, bill.profile.requests
    amounts = [
        (line.service, line.usage, line.amount, format_share(line, bill), mark_status(line)) for line in bill.lines
    ]
    amounts.append(("Total", "", bill.total, "", ""))
    rows = [
        (service, usage, format_money(amount, currency), part,
         format_money(amount / requests * 10**6, currency) if requests else "-", status)
        for service, usage, amount, part, status in amounts
    ]  # fmt: skip
    period = "A month" if bill.profile.months == 1 else "The period"
    headers = ("Service", "Usage", period, "Share", "A million", "Price is")
    notes = []
    marked = sorted({line.status for line in bill.lines if line.marked})
    if marked:
        notes.append(f"Lines marked ! have {' and '.join(marked)} prices: --explain names their sources.")
    notes += list_allowances(bill.lines)
    if explain:
        notes += explain_lines(bill.lines)
    title = f"{bill.id} ({bill.policy.name}, {currency}, prices {bill.book})"
    table = Table(headers, tuple(rows), frozenset(headers[2:5]), total=True)
    return Section(title, table, tuple(notes), chart_bill(bill))


def list_allowances(lines: Sequence[LineItem]) -> list[str]:
    """What was taken off as free, as sentences."""
    return [_describe_allowance(line.key, line.allowance) for line in lines if line.allowance is not None]


def _describe_allowance(key: str, allowance: Allowance) -> str:
    mark = "! " if allowance.marked else ""
    return f"{mark}Free of {key}: {format_plain(allowance.amount)} {allowance.unit} a month ({allowance.status})."


def build_estimate_data(bill: Estimate, explain: bool) -> dict[str, Any]:
    """The JSON of an estimate: the form of the tables, with what an estimate has more."""
    texts = [(line.service, line.usage) for line in bill.lines]
    entry = build_bill_data(bill, texts, [format_plain(line.amount) for line in bill.lines], format_plain(bill.total))
    for row, line in zip(entry["rows"], bill.lines, strict=True):
        row |= explain_line(line) if explain else {"line": line.key}
        if line.allowance is not None:
            row["free"] = {"amount": format_plain(line.allowance.amount), "status": line.allowance.status}
    entry["book"] = bill.book
    entry["per_million"] = None if bill.per_million is None else format_plain(bill.per_million)
    return entry


def _erratum(line: LineItem) -> dict[str, str] | None:
    if line.erratum is None or line.erratum.expected is None or line.erratum.printed is None:
        return None
    erratum = line.erratum
    return {"printed": f"{erratum.printed:f}", "expected": f"{erratum.expected:f}", "why": erratum.why}
