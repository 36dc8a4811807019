"""In how many change sets an update goes.

SageMaker refuses another instance type for a variant that scales (UpdateEndpoint), and CloudFormation removes old
resources only after the updates. So the scaling goes first, in a change set of its own, and comes back with the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SCALING = "AWS::ApplicationAutoScaling::"
CONFIG = "AWS::SageMaker::EndpointConfig"

Template = Mapping[str, Any]


def list_steps(old: Template | None, new: Template) -> list[Template]:
    """The templates to go through, one or two; `old` is the one that stands."""
    if old is None or not _scales(old) or _list_types(old) == _list_types(new):
        return [new]
    return [without_scaling(old), new]


def without_scaling(template: Template) -> dict[str, Any]:
    """The template without its scaling, and without what refers to that."""
    resources = dict(template["Resources"])
    gone = {name for name, resource in resources.items() if resource["Type"].startswith(SCALING)}
    while gone:
        resources = {name: resource for name, resource in resources.items() if name not in gone}
        gone = {name for name, resource in resources.items() if set(find_references(resource)) - set(resources) - _given(template)}
    outputs = {
        name: output
        for name, output in template.get("Outputs", {}).items()
        if set(find_references(output)) <= set(resources) | _given(template)
    }
    kept = {key: value for key, value in template.items() if key not in ("Resources", "Outputs")}
    return {**kept, "Resources": resources, **({"Outputs": outputs} if outputs else {})}


def find_references(value: Any) -> Iterator[str]:
    """Names that a part of a template refers to by Ref, GetAtt and DependsOn, but for pseudo parameters."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "Ref":
                if not inner.startswith("AWS::"):
                    yield inner
            elif key == "Fn::GetAtt":
                yield inner.partition(".")[0] if isinstance(inner, str) else inner[0]
            elif key == "DependsOn":
                yield from [inner] if isinstance(inner, str) else inner
            else:
                yield from find_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from find_references(inner)


def _given(template: Template) -> set[str]:
    return set(template.get("Parameters", {}))


def _scales(template: Template) -> bool:
    return any(resource["Type"].startswith(SCALING) for resource in template["Resources"].values())


def _list_types(template: Template) -> list[Any]:
    """The instance types of the configurations' variants, in order."""
    return [
        variant.get("InstanceType") or [pool["InstanceType"] for pool in variant.get("InstancePools", [])]
        for resource in template["Resources"].values()
        if resource["Type"] == CONFIG
        for variant in resource["Properties"]["ProductionVariants"]
    ]
