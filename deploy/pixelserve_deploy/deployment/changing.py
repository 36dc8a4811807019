"""A change of a stack from the first look to its end, as commands make it: shown, agreed to, carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve_deploy import console
from pixelserve_deploy.deployment import destroying
from pixelserve_deploy.deployment.deploying import Proposal, Work, carry_out, discard, look, propose, settle
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.plan import Plan
from pixelserve_deploy.deployment.preflight import Check
from pixelserve_deploy.deployment.telling import Teller
from pixelserve_deploy.deployment.templates import Template


def change(
    work: Work,
    template: Template,
    plan_of: Callable[[Proposal], Plan],
    teller: Teller,
    details: dict[str, Any],
    *,
    only_plan: bool,
    yes: bool,
    prolong: bool = False,
) -> Outcome:
    """The outcome. `plan_of` makes the plan of what is proposed, which goes into `details`.

    `only_plan` changes nothing, `yes` asks nobody, `prolong` lets hours to live begin anew, unless the command goes on
    with one that had begun. Raises PixelserveError before anything is changed.
    """
    followed, ended = (False, look(work)) if only_plan else settle(work)
    if ended is not None:
        return ended
    proposal = propose(work, template, only_plan=only_plan, prolong=prolong and not followed)
    plan = plan_of(proposal)
    show_plan(plan, teller, details)
    if only_plan:
        discard(work, proposal)
        return Outcome(Status.CHANGES if plan.changes else Status.DONE)
    if plan.changes and not _agree(work, proposal, yes):
        discard(work, proposal)
        return Outcome(Status.REFUSED, "The answer was no.")
    return carry_out(work, proposal)


def _agree(work: Work, proposal: Proposal, yes: bool) -> bool:
    """Whether to go on. A change set that nobody wants is removed, also when Ctrl-C or nobody answers."""
    try:
        return yes or console.confirm(f"Deploy {work.name} in {work.session.region}?", work.stop)
    except PixelserveError:
        discard(work, proposal)
        raise


def show_plan(plan: Plan, teller: Teller, details: dict[str, Any]) -> None:
    """For people as lines, for --json in the details."""
    details |= plan.to_json()
    for line in plan.list_lines():
        teller.note(line)


def refuse_for(failures: Sequence[Check]) -> Outcome:
    """The end of a command whose preflight has failed."""
    cause = " ".join(f"{check.what}: {check.found}." for check in failures)
    return Outcome(Status.REFUSED, cause, next=" ".join(check.fix for check in failures if check.fix))


def take_away(work: Work, teller: Teller, *, keep_logs: bool, dry_run: bool, yes: bool) -> Outcome:
    """Removes what is there of a name with every trace, or all but its logs, after saying what that is.

    Raises AwsError.
    """
    remains = destroying.find_remains(work)
    if not remains:
        where = f"{work.session.region}: {work.stack.name} is no stack there"
        teller.note(f"There is nothing of {work.name} in {where}. `pixelserve ls` lists what is.")
        return Outcome(Status.DONE)
    for line in _describe(work.stack.name, remains, keep_logs=keep_logs):
        teller.note(line)
    if dry_run:
        return Outcome(Status.DONE)
    if not (yes or console.confirm(f"Remove all this of {work.name}?", work.stop)):
        return Outcome(Status.REFUSED, "The answer was no.")
    outcome = destroying.carry_out(work, remains, keep_logs=keep_logs)
    if outcome.status is Status.DONE:
        teller.note(f"{work.name} is gone, and costs nothing any more.")
    return outcome


def _describe(stack: str, remains: destroying.Remains, *, keep_logs: bool) -> list[str]:
    lines = [f"The stack {stack}:"] if remains.stack_id else []
    rows = [(kind.removeprefix("AWS::"), _shorten(name)) for kind, name in remains.resources]
    width = max((len(kind) for kind, _ in rows), default=0)
    lines += [f"  {kind:{width}}  {name}" for kind, name in rows]
    lines += [f"{count:,} objects in the bucket {bucket}" for bucket, count in remains.buckets.items()]
    if remains.left:
        lines.append(f"{len(remains.left)} models and configurations of earlier updates")
    stays = ", which stays" if keep_logs else ""
    lines += [f"{group.size / 1e6:,.1f} MB in the log group {group.name}{stays}" for group in remains.groups]
    return lines


def _shorten(physical: str) -> str:
    """A physical id; of an ARN its last part."""
    return physical.rpartition("/")[2] if physical.startswith("arn:") else physical
