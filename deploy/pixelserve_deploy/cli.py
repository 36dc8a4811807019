"""The `pixelserve` command. A subcommand is a module of `commands`, imported only when it is the one that runs.

Such a module has a docstring (the help text), `EXAMPLES`, `add_arguments(parser)` and `run(arguments) -> exit code`. A
signal ends a command where it stands, at the latest when what it is waiting for comes. Those that start processes, or
follow what AWS does, take the `Stop` as a second argument, for they have something to end or to say.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import pixelserve
from pixelserve.errors import PixelserveError
from pixelserve.processes import Stop, Stopped, check_platform
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError

COMMANDS = {
    "up": "serve endpoints on this machine behind the SageMaker Runtime API",
    "invoke": "send a request to an endpoint, here or on AWS",
    "transform": "send the files of a folder or S3 prefix to an endpoint, as batch transform does",
    "batch": "send up to a million images through batch transform, here or on AWS",
    "new": "write a handler to start from",
    "check": "run a handler, or an image, against the contract and say what to change",
    "measure": "load an endpoint, here or on AWS, and write what `cost from-benchmark` reads",
    "build": "build the container image",
    "push": "push an image to Amazon ECR",
    "package": "write a model's files as SageMaker takes them, here or to S3",
    "weights": "list, fetch and verify published weights",
    "keys": "make, list and revoke API keys of the gateway",
    "deploy": "make or update an endpoint on AWS, after saying what changes and what it costs",
    "doctor": "look at everything that a deployment needs, and say how to mend it",
    "ls": "list the endpoints on AWS, ours and others', and what they cost",
    "logs": "print what an endpoint's containers wrote",
    "destroy": "remove an endpoint with every trace",
    "stack": "make, change or delete the REST API on AWS as one stack",
    "sweep": "find endpoints that nobody calls, and remove those that are ours",
    "cost": "say what an endpoint costs before it is deployed",
}
AS_JSON = ("up", "invoke", "transform", "check", "weights", "measure")
"""Those whose failures are JSON on standard output too where --json asks for it (docs/scripts.md)."""
WITH_STOP = (
    "up",
    "invoke",
    "transform",
    "batch",
    "check",
    "measure",
    "package",
    "deploy",
    "logs",
    "destroy",
    "sweep",
    "stack",
)
ONLY_SERVERS = ("up", "transform")
"""Those that do nothing without a server of their own."""
WITH_ACTIONS = ("cost", "stack")
"""Those whose actions have options of their own; with all others, names may stand between options."""
EXIT_FAILED, EXIT_USAGE, EXIT_SIGNAL = 1, 2, 128
"""To the second the number of the signal is added, as shells do."""


EXTRAS = {
    "boto3": "deploy",
    "botocore": "deploy",
    "cv2": "server",
    "docker": "deploy",
    "httptools": "server",
    "PIL": "server",
    "prometheus_client": "server",
    "uvicorn": "server",
    "uvloop": "server",
    "watchfiles": "local",
}
"""Which extra brings a package that a command may find missing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, 1 for a failure, 2 for a wrong command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        _without_command(words)
    name = words[0]
    stop = Stop()
    tell = _tell_as_json if name in AS_JSON and "--json" in words else console.print_error
    try:
        with stop.listening():
            return _run(name, words[1:], stop)
    except Stopped:
        console.print_stopped()
        return EXIT_SIGNAL + int(stop.signal or 0)
    except PixelserveError as error:
        tell(f"pixelserve {name}", error.message, error.code)
        return EXIT_FAILED
    except UsageError as error:
        tell(error.prog or f"pixelserve {name}", str(error), "usage")
        sys.exit(EXIT_USAGE)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        remedy = f"needs {package}: in a clone, pip install '.[{EXTRAS[package]}]'"
        tell(f"pixelserve {name}", remedy, "package_missing")
        return EXIT_FAILED
    except BrokenPipeError:  # of `pixelserve … | head`; what is still buffered has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        tell(f"pixelserve {name}", _explain_system_error(error), "system")
        return EXIT_FAILED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong, without the page of usage above it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. `{self.prog} --help` explains it.", self.prog)


def _tell_as_json(_command: str, message: str, code: str) -> None:
    """Why a command failed, as the other end of a script reads it."""
    print(json.dumps({"error": {"code": code, "message": message}}))


def _explain_system_error(error: OSError) -> str:
    """What the system refused, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}. Is the path right, yours to use, and its disk not full?"


def _run(name: str, words: list[str], stop: Stop) -> int:
    if name in ONLY_SERVERS:
        check_platform()  # their packages may be missing elsewhere
    command = importlib.import_module(f"pixelserve_deploy.commands.{name}")
    parser = _Parser(
        prog=f"pixelserve {name}",
        description=command.__doc__,
        epilog=f"examples:\n{command.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    parse = parser.parse_args if name in WITH_ACTIONS else parser.parse_intermixed_args
    arguments = parse(words, argparse.Namespace(words=(name, *words)))
    if name in WITH_STOP:
        return int(command.run(arguments, stop))
    return int(stop.run_aside(lambda: command.run(arguments)))


def _without_command(words: list[str]) -> NoReturn:
    """--help, --version, or what is wrong with a command line that names no command."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="pixelserve",
        usage="pixelserve COMMAND ...",
        description="Image models as Amazon SageMaker endpoints.",
        epilog=f"commands:\n{commands}\n\n`pixelserve COMMAND --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pixelserve {pixelserve.__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    unknown = parser.parse_known_args(words)[0].command
    if unknown is None:
        parser.error(f"name a command: {', '.join(COMMANDS)}")
    close = difflib.get_close_matches(unknown, COMMANDS, 1)
    meant = f"did you mean {close[0]}?" if close else f"commands: {', '.join(COMMANDS)}"
    parser.error(f"there is no command {unknown}; {meant}")
