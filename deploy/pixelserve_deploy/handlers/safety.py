"""Calls in a handler's source that run code hidden in the data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

UNSAFE_CALLS = {
    "pickle.load": "use safetensors, NPY or JSON",
    "pickle.loads": "use safetensors, NPY or JSON",
    "joblib.load": "use safetensors, NPY or JSON",
    "dill.loads": "use safetensors, NPY or JSON",
    "torch.load": "give weights_only=True, or use safetensors",
    "np.load": "leave out allow_pickle=True",
    "numpy.load": "leave out allow_pickle=True",
    "eval": "use json.loads",
    "exec": "use json.loads",
}
"""Calls that run code found in the data, and what to write instead."""


def find_unsafe_calls(file: Path) -> Iterator[tuple[str, int, bool, str]]:
    """(call, line, whether it is in a function that gets a caller's bytes, what to write instead) of a source file."""
    for top in ast.parse(file.read_bytes()).body:
        in_request = isinstance(top, ast.FunctionDef) and top.name in ("input_fn", "transform_fn")
        for node in ast.walk(top):
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            safe = options.get("weights_only") == "True" or (
                call.endswith(("np.load", "numpy.load")) and options.get("allow_pickle") != "True"
            )
            if call in UNSAFE_CALLS and not safe:
                yield call, node.lineno, in_request, UNSAFE_CALLS[call]
