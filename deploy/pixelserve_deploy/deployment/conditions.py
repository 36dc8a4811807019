"""A template as it is with some parameters: what its conditions leave, without asking AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pixelserve_deploy.deployment.templates import Template

_IN_TEXT = re.compile(r"\$\{([A-Za-z0-9]+)\}")
PLACED = ("Resources", "Outputs")


def choose(template: Template, parameters: Mapping[str, str]) -> Template:
    """The template with the branches of Fn::If taken and the parameters' values put in.

    Ref, Fn::Equals, Fn::Or, Fn::Not and Condition are known in conditions; AWS::NoValue is not.
    """
    stated = template.get("Conditions", {})

    def holds(condition: Any) -> bool:
        match condition:
            case {"Fn::Equals": [left, right]}:
                return bool(fill(left) == fill(right))
            case {"Fn::Or": parts}:
                return any(map(holds, parts))
            case {"Fn::Not": [part]}:
                return not holds(part)
            case {"Condition": name}:
                return holds(stated[name])
        raise ValueError(f"no condition: {condition}")

    def fill(value: Any) -> Any:
        match value:
            case {"Ref": str(name)} if name in parameters:
                return parameters[name]
            case {"Fn::If": [name, yes, no]}:
                return fill(yes if holds(stated[name]) else no)
            case {"Fn::Sub": str(text)}:
                return {"Fn::Sub": _IN_TEXT.sub(lambda found: parameters.get(found[1], found[0]), text)}
            case dict():
                return {key: fill(part) for key, part in value.items()}
            case list():
                return [fill(part) for part in value]
        return value

    chosen = {key: value for key, value in template.items() if key not in ("Parameters", "Conditions")}
    for part in PLACED:
        chosen[part] = {
            name: {key: fill(value) for key, value in one.items() if key != "Condition"}
            for name, one in template.get(part, {}).items()
            if "Condition" not in one or holds(stated[one["Condition"]])
        }
    return chosen
