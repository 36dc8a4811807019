"""What a deployment would change, and what the endpoint costs before and after: one object for people and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelserve_deploy.deployment.resolver import Action, Change

ACTIONS = {"Add": Action.ADD, "Modify": Action.MODIFY, "Remove": Action.REMOVE, "Dynamic": Action.MODIFY}
MARKS = {Action.ADD: "+", Action.MODIFY: "~", Action.REPLACE: "±", Action.REMOVE: "-"}
