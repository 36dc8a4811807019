"""The REST API as a stack: what is looked at before, what stands, what a change costs, and who is followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve.features import FEATURES
from pixelserve.processes import Stop
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import logs
from pixelserve_deploy.deployment.api import API, AUTHORIZATION, EXPLORER, ApiSpec
from pixelserve_deploy.deployment.deploying import Work
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.following import POLL_SECONDS, Show
from pixelserve_deploy.deployment.plan import Plan
from pixelserve_deploy.deployment.preflight import Check, Report, Verdict, check_all
from pixelserve_deploy.deployment.pricing import Cost, price_endpoint
from pixelserve_deploy.deployment.reading import make_api
from pixelserve_deploy.deployment.refusals import refuse
from pixelserve_deploy.deployment.resolver import Change
from pixelserve_deploy.deployment.rules import check_template
from pixelserve_deploy.deployment.spec import STACK_PREFIX, EndpointSpec, Mode
from pixelserve_deploy.deployment.stacks import EMPTY, Stack, State
from pixelserve_deploy.deployment.templates import TAG, build_api_template, list_stack_tags, pin_image


@dataclass(frozen=True)
class Former:
    """What an earlier deployment wanted: the fields of its spec and the values of its parameters."""

    fields: Mapping[str, object]
    parameters: Mapping[str, str]


NOTHING = Former({}, {})
SHARED = ("credentials", "quota", "offer")
"""Checks that say the same for all parts."""


def is_api(state: State) -> bool:
    """Whether it is the stack of a REST API; one that has nothing yet may become one."""
    return state.status == EMPTY or state.tags.get(f"{TAG}:mode") == API


def read_former(session: Session, name: str) -> Former:
    """What stands; nothing where there is no stack. Raises AwsError."""
    stack = Stack(session.client("cloudformation"), STACK_PREFIX + name)
    state = stack.find()
    if state is None or state.status == EMPTY or not is_api(state):
        return NOTHING
    return Former(stack.read_template()["Metadata"]["pixelserve"]["spec"], state.parameters)


def check_api(spec: ApiSpec, parameters: Mapping[str, str], session: Session) -> tuple[ApiSpec, Report]:
    """The spec with its images by their digests, and what was found. Raises AwsError as `check_all` does."""
    checks: list[Check] = []
    pinned: dict[str, str] = {}
    facts = Facts(region=session.region)
    for member in _choose_members(spec, parameters):
        report = check_all(member, session)
        for check in report.checks:
            if check.what != "template":
                checks.append(check if check.what in SHARED else replace(check, what=f"{member.name}: {check.what}"))
        pinned[member.image] = pin_image(member.image, report.facts.digest)
        if member.is_on_instances:
            facts = replace(report.facts, digest="")
    if not any(check.verdict is Verdict.FAILED for check in checks):
        checks += [*_check_template(spec, parameters, facts), *_check_sum(spec, parameters, facts)]
    return spec.with_images(pinned), Report(tuple(dict.fromkeys(checks)), facts)


def _choose_members(spec: ApiSpec, parameters: Mapping[str, str]) -> Iterable[EndpointSpec]:
    """One for each image and mode, and all that there will be."""
    wanted = spec.list_members(parameters)
    ways = (spec.function, spec.endpoint, spec.async_endpoint)
    possible = [one for make in ways for one in map(make, FEATURES) if one is not None]
    kinds = {(one.image, one.mode): one for one in [*possible, *wanted]}
    return {(one.name, one.mode): one for one in [*wanted, *kinds.values()]}.values()


def check_offline(spec: ApiSpec, parameters: Mapping[str, str], facts: Facts) -> list[Check]:
    """What the parts refuse, else our own rules on the template. Nothing is asked of AWS."""
    refused = [
        Check(f"{member.name}: {refusal.field}", Verdict.FAILED, refusal.message.rstrip("."))
        for member in _choose_members(spec, parameters)
        for refusal in refuse(member, facts)
    ]
    return refused or _check_template(spec, parameters, facts)


def _check_template(spec: ApiSpec, parameters: Mapping[str, str], facts: Facts) -> list[Check]:
    findings = check_template(build_api_template(spec, parameters, facts), facts)
    checks = [Check("template", Verdict.FAILED, str(finding).rstrip(".")) for finding in findings]
    return checks or [Check("template", Verdict.OK, "keeps all rules")]


def _check_sum(spec: ApiSpec, parameters: Mapping[str, str], facts: Facts) -> Iterable[Check]:
    """The quota for all endpoints together."""
    wanted: dict[str, int] = {}
    for member in spec.list_members(parameters):
        if member.is_on_instances:
            wanted[member.instances[0]] = wanted.get(member.instances[0], 0) + max(member.least, 1)
    for kind, count in wanted.items():
        quota = facts.quotas.get(kind)
        if quota is not None and quota < count:
            found = f"{kind} for endpoint usage: {quota}, and the API's endpoints take {count}"
            yield Check("quota", Verdict.FAILED, found, "Ask for more in Service Quotas, or switch a feature off.")


def open_work(
    spec: ApiSpec,
    parameters: Mapping[str, str],
    session: Session,
    show: Show,
    stop: Stop,
    again: str,
    poll: float = POLL_SECONDS,
    role: str = "",
) -> Work:
    """What the steps of a deployment share."""
    members = spec.list_members(parameters)
    endpoints = [member.name for member in members if member.mode is not Mode.LAMBDA]
    groups = [logs.name_group(member.name, member.mode) for member in members]
    tags = list_stack_tags(spec)
    return Work(session, spec.name, show, stop, again, poll, role, tags, parameters, endpoints, groups)


def list_groups(name: str) -> list[str]:
    """Every log group that an API of this name may have. Raises SpecError for a name that none can have."""
    make_api({"name": name, "gateway_image": "-", "lambda_image": "-"})
    return logs.list_groups(name, API)


def make_api_plan(
    spec: ApiSpec, parameters: Mapping[str, str], former: Former, region: str, changes: Iterable[Change]
) -> Plan:
    """The plan; what stands is priced by what it was deployed with."""
    before = None
    if former.fields:
        before = _price(ApiSpec.model_validate(former.fields), former.parameters, region)
    return Plan(tuple(changes), before, _price(spec, parameters, region), tuple(list_api_notes(parameters, region)))


def _price(spec: ApiSpec, parameters: Mapping[str, str], region: str) -> Cost:
    """What the features cost by their existence; the gateway is paid by its calls."""
    gateway, *members = [price_endpoint(member, region) for member in spec.list_members(parameters)]
    notes = dict.fromkeys(note for one in members or [gateway] for note in one.notes)
    rest = _add(one.hour_at_rest for one in members)
    most = _add(one.hour_at_most for one in [gateway, *members])
    return Cost(gateway.currency, rest, most, gateway.book, tuple(notes))


def _add(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; unknown with one that is."""
    found = list(amounts)
    known = [amount for amount in found if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(found) else None


def list_api_notes(parameters: Mapping[str, str], region: str) -> list[str]:
    """What somebody should know of these parameters."""
    notes = []
    if parameters[AUTHORIZATION] == "NONE":
        notes.append("Everybody who knows the address may call the API, at your cost.")
        if region.startswith("cn-"):
            notes.append("In China an API that is open on the Internet needs an ICP filing.")
    elif parameters[EXPLORER] == "yes":
        notes.append("With AWS_IAM the explorer shows the API, and cannot try it out: browsers sign nothing.")
    return notes
