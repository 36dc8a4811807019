"""Make the stack of the REST API, or change the one that is there.

What is not given stays as it is: `pixelserve stack deploy ImageSimilarity=no` takes one feature off. It says what will
change and what it costs, asks, and follows AWS to the end. What fails is undone by AWS. Ctrl-C leaves AWS to finish;
the same command follows it again.

Exit codes: 0 done or nothing to do, 1 failed and undone, 2 command line, 3 refused before any change, 4 somebody has
to look, 5 still running, 10 --plan has changes.
"""

from __future__ import annotations

import argparse
from typing import Any

from pixelserve.processes import Stop
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import (
    POLL_SECONDS,
    Outcome,
    Plan,
    Proposal,
    Status,
    Teller,
    apis,
    attempt,
    build_api_template,
    change,
    refuse_for,
    set_parameters,
)
from pixelserve_deploy.options import add_api, add_site, read_api, read_words

EXAMPLES = """\
  pixelserve stack deploy ImageSimilarity=yes-lambda --gateway-image URI --lambda-image URI
  pixelserve stack deploy APIExplorer=yes APIGatewayAuthorization=NONE --yes
  pixelserve stack deploy ImageSuperResolution=yes-sagemaker --image URI --instances ml.g4dn.xlarge,ml.g5.xlarge --plan
  pixelserve stack deploy ImageSimilarity=no
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print each step and the end as JSON, one object a line")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_api(parser)
    add_site(parser).add_argument("--cfn-role", default="", metavar="ARN", help="role that CloudFormation takes on")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    name, given = read_words(arguments)
    teller = Teller("pixelserve stack deploy", name, arguments.json)
    details: dict[str, Any] = {}
    outcome = attempt(lambda: _deploy(arguments, given, stop, teller, details))
    return teller.end(outcome, details)


def _deploy(
    arguments: argparse.Namespace, given: dict[str, str], stop: Stop, teller: Teller, details: dict[str, Any]
) -> Outcome:
    session = Session(arguments.region, arguments.profile)
    former = apis.read_former(session, teller.name)
    spec = read_api(arguments, teller.name, former.fields)
    parameters = set_parameters(spec, given, former.parameters)
    spec, report = apis.check_api(spec, parameters, session)
    teller.show_checks(report.checks)
    if report.failures:
        return refuse_for(report.failures)
    again = f"`pixelserve stack deploy {spec.name}` with the same options"
    work = apis.open_work(spec, parameters, session, teller.show, stop, again, arguments.poll, arguments.cfn_role)

    def plan_of(proposal: Proposal) -> Plan:
        return apis.make_api_plan(spec, parameters, former, session.region, proposal.changes)

    template = build_api_template(spec, parameters, report.facts)
    outcome = change(work, template, plan_of, teller, details, only_plan=arguments.plan, yes=arguments.yes)
    if outcome.status is Status.DONE and not arguments.plan:
        state = work.stack.find()
        details["outputs"] = dict(state.outputs) if state else {}
        for name, value in details["outputs"].items():
            teller.note(f"{name}: {value}")
    return outcome
