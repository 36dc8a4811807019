"""Installing what a handler asks for before it is loaded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from pixelserve.errors import NotReady, State

_LAST_CHARACTERS = 1000


async def install(requirements: Path) -> None:
    """`pip install -r`, ended when it is cancelled. Raises NotReady with the last of what pip said when it fails."""
    pip = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "install", "--no-input", "-r", str(requirements)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await pip.communicate()
    except asyncio.CancelledError:
        pip.kill()
        raise
    if pip.returncode:
        said = output.decode(errors="replace")[-_LAST_CHARACTERS:]
        raise NotReady(f"Installing {requirements} failed: {said}", state=State.LOAD_FAILED)
