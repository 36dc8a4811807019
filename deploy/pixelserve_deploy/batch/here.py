"""The local form: a server started for the job, with the environment that batch transform gives it."""

from __future__ import annotations

import logging
import sys

from pixelserve.errors import NotFound
from pixelserve.local import Job, JobReport, Outcome, job_environment, open_source, run_job, started, wait_until_ready
from pixelserve.observe import harmless
from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.calls import Choose


def transform_here(
    endpoint: str,
    choose: Choose,
    job: Job,
    stop: Stop,
    *,
    strategy: str | None = None,
    concurrency: int | None = None,
    megabytes: int | None = None,
) -> JobReport:
    """Runs the job on the endpoint that is named, with the weights that `choose` gives it, and shows it.

    The last three are None where the server chooses.

    Raises NotFound for an input with nothing in it, and what `run_job` raises.
    """
    with open_source(endpoint) as found:
        source = choose(found)
        if not stop.run_aside(job.source.names):
            raise NotFound(f"There is nothing in {job.source}.")
        show_log = console.show_logs(logging.WARNING)
        variables = job_environment(strategy, concurrency, megabytes)
        with started([source], lambda server, line: show_log(server.name, line), variables) as (server,):
            wait_until_ready([server], console.show_starting, stop=stop)
            with console.show_items() as show:
                return run_job(server, job, lambda outcome: show_outcome(outcome, show), stop)


def show_outcome(outcome: Outcome, show: console.ShowItem) -> None:
    """One image of a run over many."""
    result = f"failed: {outcome.error}" if outcome.error else f"{outcome.size:,} bytes"
    show(outcome.number, outcome.total, show_name(f"{outcome.name}: {result}"), bool(outcome.error))


def show_end(report: JobReport, done: str) -> int:
    """How a run ended, on standard error, with what failed and has not been shown; the exit code."""
    kept = f", {report.skipped} there already" if report.skipped else ""
    print(f"{report.done} {done}{kept}, {len(report.failures)} failed.", file=sys.stderr)
    for name, error in () if report.told else report.failures.items():
        print(show_name(f"{name}: {error}"), file=sys.stderr)
    return 1 if report.failures else 0


def show_name(text: str) -> str:
    """One line, whatever an object is called."""
    return harmless(text.replace("\n", "\\n"))
