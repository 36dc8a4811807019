"""Packages are used by their faces: what `__all__` of their `__init__` names, and nothing behind it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pixelserve.features import FEATURES, handler_folder

ROOT = Path(__file__).parents[1]
PLACES = {
    "container/pixelserve": "pixelserve",
    "container/pixelserve_gateway": "pixelserve_gateway",
    "deploy/pixelserve_deploy": "pixelserve_deploy",
}
ROOTS = tuple(PLACES.values())
"""Packages whose modules are imported as they are, beside the packages in them."""
WITHOUT_A_FACE = {"pixelserve.models.embedded"}
"""Holds data alone."""


def _packages() -> list[str]:
    found = []
    for folder, root in PLACES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found.append(".".join((root, *parts)))
    return sorted(set(found) - WITHOUT_A_FACE)


PACKAGES = _packages()


def _product_files() -> Iterator[tuple[str, Path]]:
    """(module, file) of all code but tests and benchmarks; handlers and notebooks belong to no package."""
    for folder, root in PLACES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((root, *parts)).removesuffix(".__init__"), path
    for folder in ("code", "notebooks"):
        for path in (ROOT / folder).rglob("*.py"):
            yield "", path


def _owner(module: str) -> str:
    """The innermost package that a module lies in."""
    return max((p for p in PACKAGES if module == p or module.startswith(f"{p}.")), key=len, default="")


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each import, the name empty for `import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def _past_the_face(importer: str, module: str, name: str) -> bool:
    """Whether an import reaches behind the face of a package that the importer is not in."""
    owner = _owner(module)
    inside = [p for p in PACKAGES if p not in ROOTS and module.startswith(f"{p}.")]
    if any(importer != p and not importer.startswith(f"{p}.") for p in inside):
        return True
    if module != owner or owner in ROOTS or not name:
        return False
    if importer == owner or importer.startswith(f"{owner}."):
        return False
    return name not in importlib.import_module(owner).__all__ and f"{owner}.{name}" not in PACKAGES


def test_nothing_is_imported_past_a_face() -> None:
    files = list(_product_files())
    assert len(files) > 120
    past = [
        f"{path.relative_to(ROOT)}: from {module} import {name}"
        for importer, path in files
        for module, name in _imports(path)
        if module.startswith(tuple(f"{root}." for root in ROOTS)) and _past_the_face(importer, module, name)
    ]
    assert past == []


def test_an_import_past_a_face_is_seen() -> None:
    assert _past_the_face("pixelserve.local.runtime", "pixelserve.imaging.codecs", "decode")
    assert _past_the_face("", "pixelserve.imaging", "not_exported")
    assert not _past_the_face("pixelserve.imaging.inputs", "pixelserve.imaging.codecs", "decode")
    assert not _past_the_face("", "pixelserve.imaging", "decode")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_names_what_it_exports(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(set(module.__all__), key=_as_ruff_sorts)
    values = {name: getattr(module, name) for name in module.__all__}
    shadowed = [name for name, value in values.items() if _is_shadowed(package, name, value)]
    assert shadowed == [], "a module of the same name would take the place of what is exported"


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _is_shadowed(package: str, name: str, value: object) -> bool:
    folder = Path(importlib.import_module(package).__file__ or "").parent
    return (folder / f"{name}.py").is_file() and not isinstance(value, ModuleType)


def test_importing_the_package_loads_nothing_from_third_parties() -> None:
    code = "import sys; before = set(sys.modules); import pixelserve; print(*(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in ran.stdout.split()}
    assert "pixelserve" in roots
    assert roots - {"pixelserve"} <= set(sys.stdlib_module_names)


def test_the_face_of_a_handler_is_enough(tmp_path: Path) -> None:
    handlers = [handler_folder(feature) / "inference.py" for feature in FEATURES]
    assert len(handlers) >= 3
    for handler in handlers:
        used = {name for module, name in _imports(handler) if module == "pixelserve"}
        assert used <= set(importlib.import_module("pixelserve").__all__)
        assert {"Context", "Image", "read_request"} <= used


MOVED = [
    (package, name, place)
    for package in PACKAGES
    for name, place in re.findall(
        r'"(\w+)": "([\w.]+:\w+)"', Path(importlib.import_module(package).__file__ or "").read_text()
    )
]


@pytest.mark.parametrize(("package", "name", "place"), MOVED)
def test_a_name_that_moved_is_still_there_and_says_where_it_is(package: str, name: str, place: str) -> None:
    module, _, new_name = place.partition(":")
    with pytest.warns(DeprecationWarning, match=re.escape(f"{module}.{new_name}")):
        old = getattr(importlib.import_module(package), name)
    assert old is getattr(importlib.import_module(module), new_name)
    assert name not in importlib.import_module(package).__all__


def test_names_moved() -> None:
    assert ("pixelserve.local", "EndpointFailed", "pixelserve.processes:ServerFailed") in MOVED


def test_an_unknown_name_is_an_attribute_error() -> None:
    with warnings.catch_warnings(), pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("pixelserve").nothing  # noqa: B018
