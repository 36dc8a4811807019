"""A report as one HTML file: no script, no font, nothing fetched; light, dark and on paper."""

from __future__ import annotations

from html import escape

from pixelserve_deploy.reports.report import Report, Section, Table

STYLE = """
:root{color-scheme:light dark;--text:#1d2430;--soft:#5b6675;--back:#fff;--rule:#d8dde5;--band:#f4f6f9;--warn:#9a4a00;
--c0:#2f6db5;--c1:#c8553d;--c2:#2a8a6f;--c3:#8a5fb0;--c4:#b0811c;--c5:#4b5563}
@media (prefers-color-scheme:dark){:root{--text:#e6e9ee;--soft:#a3adba;--back:#14181f;--rule:#343c48;--band:#1c222b;
--warn:#ffb066;--c0:#6ea8e8;--c1:#ef8a73;--c2:#5cc4a6;--c3:#bd97e0;--c4:#e0b552;--c5:#aab4c2}}
body{margin:2rem auto;max-width:60rem;padding:0 1.5rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
h1{font-size:1.7rem;margin:0 0 1.5rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:600}.r{text-align:right;white-space:nowrap}
tr.total td{font-weight:700;border-top:2px solid var(--text);border-bottom:0}.warn{color:var(--warn);font-weight:600}
ul{margin:.6rem 0;padding-left:1.2rem;color:var(--soft);font-size:.92rem}
svg{width:100%;height:auto;margin:.8rem 0;display:block}svg text{fill:var(--text);font-size:13px}
.s0{fill:var(--c0)}.s1{fill:var(--c1)}.s2{fill:var(--c2)}
.t0{stroke:var(--c0)}.t1{stroke:var(--c1)}.t2{stroke:var(--c2)}.t3{stroke:var(--c3)}.t4{stroke:var(--c4)}.t5{stroke:var(--c5)}
svg .u0{fill:var(--c0)}svg .u1{fill:var(--c1)}svg .u2{fill:var(--c2)}svg .u3{fill:var(--c3)}svg .u4{fill:var(--c4)}
svg .u5{fill:var(--c5)}
.wide{overflow-x:auto}@media screen and (max-width:44rem){body{padding:0 1rem}.wide svg{width:42rem}
svg text{font-size:15.5px}}
.line{fill:none;stroke-width:2.5}.grid{stroke:var(--rule)}.axis{stroke:var(--text);stroke-width:1.5}
svg .mark-text{paint-order:stroke;stroke:var(--back);stroke-width:5px;stroke-linejoin:round}
.mark{fill:var(--back);stroke:var(--text);stroke-width:2}
@media print{:root{--text:#000;--soft:#333;--back:#fff;--rule:#bbb}body{margin:0;max-width:none}
section{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def render_page(report: Report) -> str:
    """The whole file."""
    body = "".join(map(_section, report.sections))
    title = escape(report.title)
    return (
        f'<!doctype html>\n<html lang="{report.language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1>{body}</body></html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.table is not None:
        parts.append(_table(section.table))
    if section.chart is not None:
        parts.append(f'<div class="wide">{section.chart()}</div>')
    if section.notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in section.notes) + "</ul>")
    return f"<section>{''.join(parts)}</section>"


def _table(table: Table) -> str:
    right = [header in table.right for header in table.headers]
    head = "".join(_cell("th", *pair) for pair in zip(table.headers, right, strict=True))
    rows = []
    for number, row in enumerate(table.rows):
        last = table.total and number == len(table.rows) - 1
        cells = "".join(_cell("td", *pair) for pair in zip(row, right, strict=True))
        rows.append(f'<tr class="total">{cells}</tr>' if last else f"<tr>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cell(tag: str, words: str, right: bool) -> str:
    names = (["r"] if right else []) + (["warn"] if words.startswith("! ") else [])
    kind = f' class="{" ".join(names)}"' if names else ""
    return f"<{tag}{kind}>{escape(words)}</{tag}>"
