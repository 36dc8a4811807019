"""The workflows of GitHub: their schema, what zizmor finds, and who may do what in them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def load(file: Path) -> dict[str, Any]:
    return dict(yaml.load(file.read_text(), yaml.BaseLoader))  # `on` stays a word


@pytest.mark.parametrize(
    "command",
    [
        ["zizmor", "--offline", "--no-progress", "--persona", "pedantic"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
    ],
    ids=lambda command: command[0],
)
def test_public_judges_find_nothing(command: list[str]) -> None:
    assert len(FILES) == 4
    done = subprocess.run([TOOLS / command[0], *command[1:], *FILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nobody_has_more_rights_than_needed(file: Path) -> None:
    text, workflow = file.read_text(), load(file)
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in workflow["on"]
    uses = re.findall(r"uses: (.*)", text)
    assert all(PINNED.fullmatch(action) for action in uses), uses
    for name, job in workflow["jobs"].items():
        rights = job["permissions"]
        assert "environment" in job or name == "plan" or "id-token" not in rights
        assert [right for right, level in rights.items() if level == "write"] in ([], ["id-token"], [ALONE.get(name)])
        for step in job["steps"]:
            if "configure-aws-credentials" in step.get("uses", ""):
                assert step["with"]["allowed-account-ids"] == "${{ vars.AWS_ACCOUNT }}"
            assert "${{" not in step.get("run", "")


ALONE = {"comment": "pull-requests", "publish": "contents"}
"""Jobs that write on GitHub, and may do nothing on AWS."""


def test_forks_plan_nothing_and_the_plan_has_a_role_of_its_own() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in jobs["plan"]["if"]
    roles = {
        name: step["with"]["role-to-assume"]
        for name, job in jobs.items()
        for step in job["steps"]
        if "role-to-assume" in step.get("with", {})
    }
    plan, deploy = "${{ vars.AWS_PLAN_ROLE }}", "${{ vars.AWS_DEPLOY_ROLE }}"
    assert roles == {"plan": plan, "staging": deploy, "production": deploy}
    assert (jobs["staging"]["environment"], jobs["production"]["environment"]) == ("staging", "production")
    assert jobs["production"]["needs"] == "staging"
