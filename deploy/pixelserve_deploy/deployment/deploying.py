"""From a template to an endpoint: change sets, following them, and what has to be looked at afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment.causes import Kind, diagnose
from pixelserve_deploy.deployment.conditions import choose
from pixelserve_deploy.deployment.following import POLL_SECONDS, Follower, Goal, Progress, Show, advise
from pixelserve_deploy.deployment.logs import ContainerLog, make_group
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.plan import read_changes
from pixelserve_deploy.deployment.resolver import Change, resolve
from pixelserve_deploy.deployment.retained import CONFIG_TYPE, MODEL_TYPE, find_silent_rollback, list_left, remove
from pixelserve_deploy.deployment.spec import STACK_PREFIX
from pixelserve_deploy.deployment.stacks import DEAD, EMPTY, STUCK, ChangeSet, Stack, StackRefused, State
from pixelserve_deploy.deployment.steps import split_update, why_not_in_place
from pixelserve_deploy.deployment.templates import Template, keep_end


@dataclass(frozen=True)
class Work:
    """What the steps of one command share: whom to ask, about which endpoint, whom to tell, and how often to look."""

    session: Session
    name: str
    show: Show
    stop: Stop
    again: str
    """The command that goes on with it."""
    poll: float = POLL_SECONDS
    role: str = ""
    """ARN of a role that CloudFormation takes on for the stack."""
    tags: Sequence[Mapping[str, str]] = ()
    """Of the stack."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of its template."""
    endpoints: Sequence[str] = ()
    """Its endpoints on SageMaker; one of its own name unless others are named."""
    log_groups: Sequence[str] = ()
    """Those of its containers."""
    stack: Stack = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stack", Stack(self.session.client("cloudformation"), STACK_PREFIX + self.name))

    def follow(self, stack_id: str, goal: Goal, since: str = "") -> Outcome:
        """The end of an operation that has been started."""
        open_logs = None if goal is Goal.DELETE else self._open_logs
        follower = Follower(self.stack, open_logs, self.show, self.stop, self.again, self.poll)
        return follower.follow(stack_id, goal, since)

    def _open_logs(self, since: datetime) -> list[ContainerLog]:
        return [ContainerLog(self.session.client("logs"), group, since) for group in self.log_groups]


def settle(work: Work) -> tuple[bool, Outcome | None]:
    """Makes the stack ready for a change: follows what is under way, removes what is dead.

    Whether something was under way, and the outcome that is the end of the command: the operation failed or goes on, or
    a person is needed.
    """
    state = work.stack.find_ours()
    followed = state is not None and state.is_moving
    if state is not None and followed:
        work.show(Progress("waiting", text=f"{work.stack.name} is {state.status}; following it."))
        outcome = work.follow(state.id, _guess_goal(state))
        if outcome.status is not Status.DONE:
            return followed, outcome
        state = work.stack.find()
    stuck = _judge(work, state)
    if stuck is not None:
        return followed, stuck
    if state is not None and state.status in DEAD:
        work.show(Progress("waiting", text=f"{work.stack.name} is {state.status}: it never ran, and is removed first."))
        since = work.stack.find_newest_event(state.id)
        work.stack.delete(work.role)
        outcome = work.follow(state.id, Goal.DELETE, since)
        return followed, None if outcome.status is Status.DONE else outcome
    return followed, None


def _judge(work: Work, state: State | None) -> Outcome | None:
    """That a person is needed, where a stack is stuck."""
    if state is None or state.status not in STUCK:
        return None
    cause = f"{work.stack.name} is {state.status}. {state.reason}".rstrip()
    advice = advise(state.status, work.stack.name, work.stack.list_events(state.id))
    return Outcome(Status.NEEDS_PERSON, cause, next=advice)


def _guess_goal(state: State) -> Goal:
    if state.status.startswith("DELETE"):
        return Goal.DELETE
    return Goal.UPDATE if state.status.startswith("UPDATE") else Goal.CREATE


def look(work: Work) -> Outcome | None:
    """What stands in the way of a plan: the outcome of an operation under way, or of a stack that is stuck."""
    state = work.stack.find_ours()
    if state is not None and state.is_moving:
        return Outcome(Status.RUNNING, f"{work.stack.name} is {state.status}.", next=f"Follow it with {work.again}.")
    return _judge(work, state)


@dataclass(frozen=True)
class Proposal:
    """What would be done: the templates in order, and the change set of the first (None: that changes nothing)."""

    old: Template | None
    steps: Sequence[Template]
    first: ChangeSet | None
    changes: Sequence[Change]


def propose(work: Work, template: Template, *, only_plan: bool, prolong: bool) -> Proposal:
    """Prepares a change, of a stack that is settled. Raises StackRefused for what cannot be.

    Hours to live that begin anew are no change by themselves, unless they are to `prolong` its life.

    A plan of what is not there yet needs no change set: everything is added. One would make an empty stack, which
    whoever may only plan cannot delete, and which the next command may meet while it goes (aws/aws-cdk, issue 29265).
    """
    state = work.stack.find()
    old = work.stack.read_template() if state is not None and state.status not in (EMPTY, *DEAD) else None
    obstacle = why_not_in_place(old, template) if old else None
    if obstacle:
        raise StackRefused(obstacle)
    if only_plan and old is None:
        return Proposal(None, [template], None, resolve({}, choose(template, work.parameters)))
    if old is not None and not prolong:
        template = keep_end(old, template, datetime.now(UTC))
    steps = split_update(old, template) if old else [template]
    first = _prepare(work, steps[0])
    if len(steps) > 1:
        return Proposal(old, steps, first, resolve(old or {}, template))
    return Proposal(old, steps, first, read_changes(first.changes) if first else ())


def discard(work: Work, proposal: Proposal) -> None:
    """Removes what `propose` made on AWS."""
    if proposal.first is not None:
        work.stack.discard(proposal.first)


def carry_out(work: Work, proposal: Proposal) -> Outcome:
    """Executes the steps, looks at what runs, and clears the old pair away.

    A role that was not usable yet is tried once more.
    """
    outcome = _try_twice(work, proposal.steps[0], proposal.first)
    for template in proposal.steps[1:]:
        if outcome.status is not Status.DONE:
            return outcome
        outcome = _go_on(work, template)
    return check_running(work) if outcome.status is Status.DONE else outcome


def _go_on(work: Work, template: Template) -> Outcome:
    """A later step. Whatever goes wrong, the endpoint runs on without the scaling that the step before took off."""
    try:
        change_set = _prepare(work, template)
        outcome = _try_twice(work, template, change_set)
    except AwsError as error:
        return Outcome(Status.RUNNING, error.message, next=f"The endpoint has no scaling until you run {work.again}.")
    except StackRefused as error:
        outcome = Outcome(Status.NEEDS_PERSON, error.message)
    if outcome.status in (Status.UNDONE, Status.NEEDS_PERSON):
        advice = f"{outcome.next} The endpoint runs without its scaling until the next deployment succeeds."
        return replace(outcome, next=advice.strip())
    return outcome


def _try_twice(work: Work, template: Template, change_set: ChangeSet | None) -> Outcome:
    outcome = _execute(work, change_set)
    if outcome.status is not Status.UNDONE or diagnose(outcome.cause)[0] is not Kind.ROLE:
        return outcome
    work.show(Progress("waiting", text=f"{outcome.cause} New roles take a moment: trying once more."))
    return _execute(work, _prepare(work, template))


def _prepare(work: Work, template: Template) -> ChangeSet | None:
    return work.stack.prepare(template, work.tags, work.parameters, stop=work.stop, pause=work.poll, role=work.role)


def _execute(work: Work, change_set: ChangeSet | None) -> Outcome:
    if change_set is None:
        return Outcome(Status.DONE)
    _make_groups(work)
    since = work.stack.find_newest_event(change_set.stack_id)
    try:
        work.stack.execute(change_set)
    except AwsError as error:
        if error.is_denied or error.is_expired:
            raise
        return Outcome(
            Status.RUNNING, error.message, next=f"AWS may have begun all the same. To see, run {work.again}."
        )
    return work.follow(change_set.stack_id, Goal.CREATE if change_set.creates else Goal.UPDATE, since)


def _make_groups(work: Work) -> None:
    """Makes the log groups before AWS does, which would keep the lines for ever."""
    tags = {tag["Key"]: tag["Value"] for tag in work.tags}
    try:
        for group in work.log_groups:
            make_group(work.session.client("logs"), group, tags)
    except AwsError as error:
        if not error.is_denied:
            raise
        work.show(Progress("waiting", text=f"Logs will be kept for ever: {error.message}"))


def check_running(work: Work) -> Outcome:
    """Whether the endpoint runs what its stack says; if so, older models and configurations are deleted."""
    try:
        used = work.stack.list_names(CONFIG_TYPE, MODEL_TYPE)
        if not used:  # a Lambda function
            return Outcome(Status.DONE)
        for endpoint in work.endpoints or (work.name,):
            taken_back = find_silent_rollback(work.session, used, endpoint)
            if taken_back:
                return Outcome(
                    Status.UNDONE,
                    taken_back,
                    next="The stack says what was wanted, the endpoint runs what was there before. Mend the cause "
                    f"(`pixelserve logs {endpoint}`), then deploy again.",
                )
        remove(work.session, list_left(work.session, used, work.name))
    except AwsError as error:
        renew = "renew the credentials and " if error.is_expired else ""
        return Outcome(
            Status.RUNNING,
            error.message,
            next=f"CloudFormation is done; what runs was not looked at. To do so, {renew}run {work.again}.",
        )
    return Outcome(Status.DONE)
