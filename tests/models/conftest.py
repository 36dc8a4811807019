"""The real basicsr classes.

basicsr's package imports pull in torchvision, compiled operators and everything else it has; only its two architecture
files are wanted. So its packages are stood in for by empty modules that only know their folder, torchvision and the
operators by names that neither network uses, and all are taken away again afterwards.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

UNUSED = {
    "torchvision": ["__version__"],
    "basicsr.ops": [],
    "basicsr.ops.dcn": ["ModulatedDeformConvPack", "modulated_deform_conv"],
    "basicsr.utils": ["get_root_logger"],
}
"""Modules that basicsr's helpers import, with the names taken from them; the two networks use none."""


@pytest.fixture(scope="module")
def basicsr() -> Iterator[dict[str, type[nn.Module]]]:
    """The two real classes."""
    spec = importlib.util.find_spec("basicsr")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("basicsr is not installed: tools/make-venv installs it")
    folder = Path(spec.submodule_search_locations[0])
    stubs = {name: ModuleType(name) for name in ("basicsr", "basicsr.archs", *UNUSED)}
    for name, stub in stubs.items():
        stub.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        for attribute in UNUSED.get(name, ()):
            setattr(stub, attribute, nn.Module)
    before = dict(sys.modules)
    sys.modules.update(stubs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it imports distutils
            rrdbnet = importlib.import_module("basicsr.archs.rrdbnet_arch")
            srvgg = importlib.import_module("basicsr.archs.srvgg_arch")
        yield {"RRDBNet": rrdbnet.RRDBNet, "SRVGGNetCompact": srvgg.SRVGGNetCompact}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("basicsr", "torchvision")]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})
