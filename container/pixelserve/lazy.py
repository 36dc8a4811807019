"""Names of a package that are imported when they are first asked for (PEP 562): a package costs what is used."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def exports(
    package: str, names: Mapping[str, str], moved: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], Any]:
    """The package's `__getattr__`: `names` are those of each module, separated by blanks; the modules can be had too.

    Of `moved` each name is another package's by now, `package:name`, and warns when it is used. A module is written
    relative to the package (`.codecs`) or in full.
    """
    modules = {module.rpartition(".")[2]: module for module in names}
    modules |= {name: module for module, listed in names.items() for name in listed.split()}

    def load(name: str) -> Any:
        if name in moved:
            place, _, new_name = moved[name].partition(":")
            warnings.warn(
                f"{package}.{name} is {place}.{new_name} now, and will not be here in the next release.",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(importlib.import_module(place), new_name)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name], package)
        is_module = modules[name].rpartition(".")[2] == name and not hasattr(module, name)
        value = module if is_module else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load
