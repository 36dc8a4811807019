"""What the tests of documents share: pages, their blocks of code, and the tools that write their tables."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import ModuleType

from servers import ROOT

_FENCE = re.compile(r"^(#+ [^\n]*)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code on a page; its name is that of its section, numbered where there are several."""

    name: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The page's blocks of console commands and Python, in their order."""
    found, heading, count = [], "", Counter[str]()
    for title, language, text in _FENCE.findall((ROOT / page).read_text()):
        if title:
            heading = title.lstrip("# ")
        elif language in ("console", "python"):
            count[heading] += 1
            number = f" {count[heading]}" if count[heading] > 1 else ""
            found.append(Block(f"{page}: {heading}{number}", language, text))
    return found


def headings(page: str) -> list[tuple[int, str]]:
    """Level and text of the page's headings; a # in a block of code is none."""
    lines = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL).splitlines()
    return [(len(line) - len(line.lstrip("#")), line.lstrip("# ")) for line in lines if re.match(r"#+ ", line)]


def load_tool(name: str) -> ModuleType:
    """A program of tools/ as a module."""
    loader = SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
