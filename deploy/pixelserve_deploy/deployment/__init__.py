"""Endpoints on AWS as CloudFormation stacks: what is wanted, templates, plan, stacks, and what is there.

Loaded on demand, for `--help` needs none of it.
"""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.deployment import apis, destroying, listing, logs
    from pixelserve_deploy.deployment.api import ApiSpec, name_parameter, set_parameters
    from pixelserve_deploy.deployment.changing import change, refuse_for, show_plan, take_away
    from pixelserve_deploy.deployment.deploying import Proposal, Work
    from pixelserve_deploy.deployment.destroying import Remains
    from pixelserve_deploy.deployment.facts import Facts
    from pixelserve_deploy.deployment.following import POLL_SECONDS, Progress
    from pixelserve_deploy.deployment.inventory import (
        KEPT,
        WINDOW,
        Entry,
        count_machines,
        find_mode,
        list_entries,
        select_idle,
    )
    from pixelserve_deploy.deployment.markdown import write_markdown
    from pixelserve_deploy.deployment.notes import list_notes
    from pixelserve_deploy.deployment.outcome import Outcome, Status
    from pixelserve_deploy.deployment.plan import Plan, make_offline_plan, make_plan
    from pixelserve_deploy.deployment.policies import make_policies
    from pixelserve_deploy.deployment.preflight import Check, Verdict, check_all, check_rules, check_without_aws
    from pixelserve_deploy.deployment.pricing import Cost, price_endpoint
    from pixelserve_deploy.deployment.reading import (
        FILE,
        SpecError,
        format_specs,
        make_api,
        make_spec,
        parse_specs,
        read_specs,
    )
    from pixelserve_deploy.deployment.refusals import Refusal, refuse
    from pixelserve_deploy.deployment.resolver import Action, Change, resolve
    from pixelserve_deploy.deployment.rules import Finding, check_template
    from pixelserve_deploy.deployment.spec import INSTANCE, EndpointSpec, Mode, Update, has_gpu
    from pixelserve_deploy.deployment.stacks import find_output
    from pixelserve_deploy.deployment.steps import split_update, why_not_in_place
    from pixelserve_deploy.deployment.telling import Teller, attempt, print_checks
    from pixelserve_deploy.deployment.templates import (
        build_api_template,
        build_model,
        build_template,
        find_end,
        list_stack_tags,
        pin_image,
        render,
        split_s3,
    )
else:
    __getattr__ = exports(
        __name__,
        {
            ".api": "ApiSpec name_parameter set_parameters",
            ".apis": "",
            ".changing": "change refuse_for show_plan take_away",
            ".deploying": "Proposal Work",
            ".destroying": "Remains",
            ".facts": "Facts",
            ".following": "POLL_SECONDS Progress",
            ".inventory": "KEPT WINDOW Entry count_machines find_mode list_entries select_idle",
            ".listing": "",
            ".logs": "",
            ".markdown": "write_markdown",
            ".notes": "list_notes",
            ".outcome": "Outcome Status",
            ".plan": "Plan make_offline_plan make_plan",
            ".policies": "make_policies",
            ".preflight": "Check Verdict check_all check_rules check_without_aws",
            ".pricing": "Cost price_endpoint",
            ".reading": "FILE SpecError format_specs make_api make_spec parse_specs read_specs",
            ".refusals": "Refusal refuse",
            ".resolver": "Action Change resolve",
            ".rules": "Finding check_template",
            ".spec": "INSTANCE EndpointSpec Mode Update has_gpu",
            ".stacks": "find_output",
            ".steps": "split_update why_not_in_place",
            ".telling": "Teller attempt print_checks",
            ".templates": (
                "build_api_template build_model build_template find_end list_stack_tags pin_image render split_s3"
            ),
        },
    )

__all__ = [
    "FILE",
    "INSTANCE",
    "KEPT",
    "POLL_SECONDS",
    "WINDOW",
    "Action",
    "ApiSpec",
    "Change",
    "Check",
    "Cost",
    "EndpointSpec",
    "Entry",
    "Facts",
    "Finding",
    "Mode",
    "Outcome",
    "Plan",
    "Progress",
    "Proposal",
    "Refusal",
    "Remains",
    "SpecError",
    "Status",
    "Teller",
    "Update",
    "Verdict",
    "Work",
    "apis",
    "attempt",
    "build_api_template",
    "build_model",
    "build_template",
    "change",
    "check_all",
    "check_rules",
    "check_template",
    "check_without_aws",
    "count_machines",
    "destroying",
    "find_end",
    "find_mode",
    "find_output",
    "format_specs",
    "has_gpu",
    "list_entries",
    "list_notes",
    "list_stack_tags",
    "listing",
    "logs",
    "make_api",
    "make_offline_plan",
    "make_plan",
    "make_policies",
    "make_spec",
    "name_parameter",
    "parse_specs",
    "pin_image",
    "price_endpoint",
    "print_checks",
    "read_specs",
    "refuse",
    "refuse_for",
    "render",
    "resolve",
    "select_idle",
    "set_parameters",
    "show_plan",
    "split_s3",
    "split_update",
    "take_away",
    "why_not_in_place",
    "write_markdown",
]
