"""What a command prints with --json, held against its definition in docs/scripts.schema.json."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from servers import ROOT

SCHEMA = json.loads((ROOT / "docs" / "scripts.schema.json").read_text())


def read_told(text: str, definition: str) -> Any:
    """The JSON, which has the form of the definition."""
    told = json.loads(text)
    jsonschema.validate(told, {**SCHEMA, "$ref": f"#/$defs/{definition}"})
    return told
