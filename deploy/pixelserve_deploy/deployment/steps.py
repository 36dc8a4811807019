"""How an update is cut into change sets, and what no update can do."""

from __future__ import annotations

from pixelserve_deploy.deployment.resolver import refers
from pixelserve_deploy.deployment.templates import Template, find_instances

SCALING = ("AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy")


def why_not_in_place(old: Template, new: Template) -> str | None:
    """Why the stack cannot become the new one; None when it can."""
    before, after = (template.get("Metadata", {}).get("pixelserve", {}).get("mode") for template in (old, new))
    if before is None or before == after:
        return None
    return (
        f"The endpoint is {before} and cannot become {after} in place. Deploy it by a new name, move your callers, "
        "then `pixelserve destroy` this one."
    )


def split_update(old: Template, new: Template) -> list[Template]:
    """The templates of the change sets, in order.

    SageMaker refuses to change the instance type of a variant that scales, and CloudFormation removes resources only
    after it has updated others: the scaling goes in a first change set, and comes back in the second.
    """
    if not _list_scaling(old) or all(
        find_instances(old, name) == find_instances(new, name) for name in _list_configs(old) & _list_configs(new)
    ):
        return [new]
    return [_without_scaling(old), new]


def _list_configs(template: Template) -> set[str]:
    return {name for name, one in template["Resources"].items() if one["Type"] == "AWS::SageMaker::EndpointConfig"}


def _list_scaling(template: Template) -> list[str]:
    return [name for name, resource in template["Resources"].items() if resource["Type"] in SCALING]


def _without_scaling(template: Template) -> Template:
    """The same without scaling, and without the alarms that call its policies."""
    resources = template["Resources"]
    scaling = set(_list_scaling(template))
    callers = {name for name, one in resources.items() if scaling & refers(one["Properties"].get("AlarmActions"))}
    gone = scaling | callers
    return {**template, "Resources": {name: resource for name, resource in resources.items() if name not in gone}}
