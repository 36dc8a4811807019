"""Resources of one template put into another: names of their own, and the condition under which they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pixelserve_deploy.deployment.templates.resource import Resource

_IN_TEXT = re.compile(r"\$\{([A-Za-z0-9]+)")


def nest(
    resources: Mapping[str, Resource], prefix: str, condition: str = "", outside: Mapping[str, str] | None = None
) -> dict[str, Resource]:
    """The resources under `prefix`. Those that `outside` maps are left out: the template has them by that name."""
    names = {name: prefix + name for name in resources} | dict(outside or {})

    def rename(value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return {"Ref": names.get(name, name)}
            case {"Fn::GetAtt": [str(name), *rest]}:
                return {"Fn::GetAtt": [names.get(name, name), *rest]}
            case {"Fn::Sub": str(text)}:
                return {"Fn::Sub": _IN_TEXT.sub(lambda found: "${" + names.get(found[1], found[1]), text)}
            case dict():
                return {key: rename(part) for key, part in value.items()}
            case list():
                return [rename(part) for part in value]
        return value

    under = {"Condition": condition} if condition else {}
    return {
        names[name]: {"Type": one["Type"], **under, **rename({key: part for key, part in one.items() if key != "Type"})}
        for name, one in resources.items()
        if name not in (outside or {})
    }
