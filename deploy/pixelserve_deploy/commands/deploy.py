"""Make an endpoint on AWS, or change the one that is there.

It looks at what a deployment needs, says what will change and what it costs, asks, and follows AWS to the end. What
fails is undone by AWS. Ctrl-C leaves AWS to finish; the same command follows it again. Without credentials, --plan
works out the changes by itself.

Exit codes: 0 done or nothing to do, 1 failed and undone, 2 command line, 3 refused before any change, 4 somebody has
to look, 5 still running, 10 --plan has changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pixelserve.errors import BadRequest
from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment import (
    POLL_SECONDS,
    EndpointSpec,
    Facts,
    Mode,
    Outcome,
    Plan,
    Proposal,
    Status,
    Teller,
    Verdict,
    Work,
    attempt,
    build_template,
    change,
    check_all,
    check_rules,
    find_end,
    list_stack_tags,
    logs,
    make_offline_plan,
    make_plan,
    make_policies,
    make_spec,
    pin_image,
    refuse_for,
    show_plan,
    why_not_in_place,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_endpoint, add_site, find_table, read_endpoint

EXAMPLES = """\
  pixelserve deploy upscaler --image 123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve:1
  pixelserve deploy upscaler --plan                    from pixelserve.toml, changing nothing
  pixelserve deploy upscaler --yes --json              in CI
  pixelserve deploy upscaler --plan --against main.toml --region us-east-2    without credentials
"""
UNBOUNDED = (
    "The role `deploy` makes roles, so whoever runs code in its jobs can make itself administrator of the account. "
    "Give --permissions-boundary, and roles without it are refused; or --role, and none are made."
)
PLAN_WITHOUT_AWS = (
    "Without AWS: give --against FILE, or unset the credentials (those that `up` printed are no account's), and --plan "
    "works the changes out by itself."
)
NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--against", type=Path, metavar="FILE",
                        help="with --plan: compare with this file, not with AWS")  # fmt: skip
    parser.add_argument("--print-policy", metavar="OWNER/NAME",
                        help="print the IAM policies with which this GitHub repository may plan, push and deploy; "
                        "OWNER@ID/NAME@ID for repositories made since 2026-07-15")  # fmt: skip
    parser.add_argument("--github-environment", metavar="NAME", default="production",
                        help="with --print-policy: whose jobs may deploy (default: %(default)s)")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print each step and the end as JSON, one object a line")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_endpoint(parser)
    add_site(parser).add_argument("--cfn-role", default="", metavar="ARN", help="role that CloudFormation takes on")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.against and not arguments.plan:
        raise UsageError("--against goes with --plan")
    if arguments.print_policy:
        spec, repository = read_endpoint(arguments), arguments.print_policy
        print(json.dumps(make_policies(spec, repository, arguments.github_environment), indent=2))
        if not (spec.role or spec.permissions_boundary):
            print(UNBOUNDED, file=sys.stderr)
        return 0
    teller = Teller("pixelserve deploy", arguments.name or "", arguments.json)
    details: dict[str, Any] = {}
    outcome = attempt(lambda: _deploy(arguments, stop, teller, details))
    return teller.end(outcome, details)


def _deploy(arguments: argparse.Namespace, stop: Stop, teller: Teller, details: dict[str, Any]) -> Outcome:
    spec = read_endpoint(arguments)
    teller.name = spec.name
    if arguments.against:
        return _plan_offline(spec, arguments.against, teller, details)
    session = Session(spec.region or None, arguments.profile)
    try:
        report = check_all(spec, session)
    except AwsError as error:
        if arguments.plan and error.reason in NO_CREDENTIALS:
            return _plan_offline(spec.model_copy(update={"region": session.region}), None, teller, details)
        if arguments.plan:
            return Outcome(Status.REFUSED, error.message, next=PLAN_WITHOUT_AWS)
        raise
    teller.show_checks(report.checks)
    if report.failures:
        return refuse_for(report.failures)
    template = build_template(spec, report.facts)
    work = Work(
        session,
        spec.name,
        teller.show,
        stop,
        f"`pixelserve deploy {spec.name}` with the same options",
        arguments.poll,
        arguments.cfn_role,
        list_stack_tags(spec),
        log_groups=logs.list_groups(spec.name, spec.mode),
    )

    def plan_of(proposal: Proposal) -> Plan:
        steps = proposal.steps
        end = find_end(steps[-1])
        return make_plan(spec, report.facts, proposal.old, proposal.changes, steps=len(steps), end=end)

    details |= _describe(spec, report.facts)
    outcome = change(
        work,
        template,
        plan_of,
        teller,
        details,
        only_plan=arguments.plan,
        yes=arguments.yes,
        prolong=arguments.ttl_hours is not None,
    )
    if outcome.status is Status.DONE and not arguments.plan:
        state = work.stack.find()
        teller.note(describe_calls(spec, session.region, state.outputs.get("FunctionUrl", "") if state else ""))
    return outcome


def _describe(spec: EndpointSpec, facts: Facts) -> dict[str, Any]:
    return {
        "region": facts.region,
        "mode": spec.mode,
        "features": spec.features,
        "image": pin_image(spec.image, facts.digest),
    }


def _plan_offline(spec: EndpointSpec, against: Path | None, teller: Teller, details: dict[str, Any]) -> Outcome:
    """The plan without AWS: against what a file says is deployed, or against nothing."""
    if not spec.region:
        raise BadRequest("Without AWS the region has to be given: --region us-east-2.")
    facts = Facts(region=spec.region)
    checks = check_rules(spec, facts)
    teller.show_checks(checks)
    if any(check.verdict is Verdict.FAILED for check in checks):
        return refuse_for(checks)
    template, old = build_template(spec, facts), None
    if against is not None:
        former = make_spec(find_table(against, spec.name))
        old = build_template(former, facts)
        obstacle = why_not_in_place(old, template)
        if obstacle:
            return Outcome(Status.REFUSED, obstacle)
    compared = f"against {against}" if against else "as if nothing were there: no credentials were found"
    teller.note(f"Planned without AWS, {compared}.")
    details |= {**_describe(spec, facts), "without_aws": compared}
    plan = make_offline_plan(spec, facts, old, template)
    show_plan(plan, teller, details)
    return Outcome(Status.CHANGES if plan.changes else Status.DONE)


def describe_calls(spec: EndpointSpec, region: str, url: str) -> str:
    """How the endpoint is called now; `url` is a function's, where it has one."""
    if spec.mode is Mode.LAMBDA:
        address = f"at {url}, for requests that are signed (AWS_IAM)" if url else "by the Invoke call of AWS Lambda"
        return f"{spec.name} is there. Call it {address}."
    how = {
        Mode.ASYNC: " --way async -o FOLDER",
        Mode.REALTIME: f" --target-model {spec.features[0]}.tar.gz" if spec.is_multi_model else "",
    }
    words = f"pixelserve invoke {spec.name} PHOTO --aws --region {region}{how.get(spec.mode, '')}"
    return f"{spec.name} is in service. Call it: {words}"
