"""What an update replaces, by CloudFormation's own schemas, and how it is cut into change sets."""

from __future__ import annotations

from typing import Any

import pytest
from api_specs import build_api_of
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from endpoint_specs import FIELDS, build_facts, build_spec

from pixelserve_deploy.deployment.resolver import CREATE_ONLY, Action, resolve
from pixelserve_deploy.deployment.steps import split_update, why_not_in_place
from pixelserve_deploy.deployment.templates import Template, build_template

NEW_DIGEST = f"sha256:{'b' * 64}"


def build(base: str, **fields: Any) -> Template:
    return build_template(build_spec(base, **fields), build_facts())


def list_actions(old: Template, new: Template) -> dict[str, Action]:
    return {change.resource: change.action for change in resolve(old, new)}


@pytest.mark.parametrize("kind", CREATE_ONLY)
def test_the_table_is_that_of_the_schemas(kind: str) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-2", kind).schema
    assert CREATE_ONLY[kind] == {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}


def test_the_table_has_what_the_templates_have_and_no_more() -> None:
    templates = [*map(build, FIELDS), build_api_of("most")]
    kinds = {resource["Type"] for template in templates for resource in template["Resources"].values()}
    assert kinds == CREATE_ONLY.keys()


@pytest.mark.parametrize("base", FIELDS)
def test_the_same_again_changes_nothing(base: str) -> None:
    assert resolve(build(base), build(base)) == []


@pytest.mark.parametrize("base", [base for base in FIELDS if not base.startswith("lambda")])
def test_a_new_image_replaces_model_and_configuration_under_the_endpoint(base: str) -> None:
    new = build_template(build_spec(base), build_facts(digest=NEW_DIGEST))
    changes = {change.resource: change for change in resolve(build(base), new)}
    assert {name: change.action for name, change in changes.items()} == {
        "Model": Action.REPLACE,
        "EndpointConfig": Action.REPLACE,
        "Endpoint": Action.MODIFY,
    }
    assert changes["Model"].because == ("PrimaryContainer",)
    assert changes["EndpointConfig"].because == ("ProductionVariants: Model is replaced",)
    assert changes["Endpoint"].because == ("EndpointConfigName: EndpointConfig is replaced",)


def test_a_new_image_of_a_function_modifies_it() -> None:
    new = build_template(build_spec("lambda"), build_facts(digest=NEW_DIGEST))
    assert list_actions(build("lambda"), new) == {"Function": Action.MODIFY}


def test_tags_replace_nothing() -> None:
    actions = list_actions(build("async"), build("async", tags={"team": "pictures"}))
    assert set(actions.values()) == {Action.MODIFY}
    assert actions.keys() == build("async")["Resources"].keys() - {"ScalingPolicy", "WakePolicy"}


def test_a_limit_of_scaling_modifies_the_target_alone() -> None:
    assert list_actions(build("scaled"), build("scaled", most=6)) == {"ScalableTarget": Action.MODIFY}


def test_scaling_comes_and_goes() -> None:
    fixed, scaled = build("realtime"), build("realtime", most=3)
    updated = {"EndpointConfig": Action.REPLACE, "Endpoint": Action.MODIFY}
    assert list_actions(fixed, scaled) == {"ScalableTarget": Action.ADD, "ScalingPolicy": Action.ADD, **updated}
    assert list_actions(scaled, fixed) == {"ScalableTarget": Action.REMOVE, "ScalingPolicy": Action.REMOVE, **updated}


def test_another_number_of_instances_takes_effect_unless_scaling_chooses_it() -> None:
    fixed = build("realtime", count=4)
    assert list_actions(fixed, build("realtime", count=1)) == {
        "EndpointConfig": Action.REPLACE,
        "Endpoint": Action.MODIFY,
    }
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    assert fixed["Resources"]["Endpoint"]["Properties"]["ExcludeRetainedVariantProperties"] == excluded
    scaled = build("scaled")["Resources"]["Endpoint"]["Properties"]
    assert scaled["RetainAllVariantProperties"] is True
    assert "ExcludeRetainedVariantProperties" not in scaled


def test_another_name_goes_through_references_of_all_forms() -> None:
    """The target names the endpoint by Fn::Sub, the policy the target by Ref; the alarm has its name in full."""
    assert list_actions(build("scaled"), build("scaled", name="other")) == {
        "Role": Action.MODIFY,
        "Model": Action.MODIFY,
        "EndpointConfig": Action.MODIFY,
        "FailuresAlarm": Action.MODIFY,
        "Endpoint": Action.REPLACE,
        "ScalableTarget": Action.REPLACE,
        "ScalingPolicy": Action.REPLACE,
    }


def test_a_role_of_ones_own_replaces_what_ran_with_the_other() -> None:
    actions = list_actions(build("realtime"), build("own-role"))
    assert actions["Role"] is Action.REMOVE
    assert actions["Model"] is Action.REPLACE


def test_a_later_end_modifies_the_schedule() -> None:
    later = build_facts(now=build_facts().now.replace(day=2))
    new = build_template(build_spec("hours"), later)
    assert list_actions(build("hours"), new) == {"ExpirySchedule": Action.MODIFY}


def test_a_new_image_goes_in_one_change_set() -> None:
    new = build_template(build_spec("scaled"), build_facts(digest=NEW_DIGEST))
    assert split_update(build("scaled"), new) == [new]


def test_an_instance_type_that_does_not_scale_goes_in_one() -> None:
    new = build("realtime", instances=["ml.g5.xlarge"])
    assert split_update(build("realtime"), new) == [new]


def test_an_instance_type_that_scales_goes_in_two() -> None:
    old, new = build("scaled"), build("scaled", instances=["ml.g5.xlarge"])
    first, second = split_update(old, new)
    assert list_actions(old, first) == {"ScalableTarget": Action.REMOVE, "ScalingPolicy": Action.REMOVE}
    assert second == new
    assert list_actions(first, second) == {
        "EndpointConfig": Action.REPLACE,
        "Endpoint": Action.MODIFY,
        "ScalableTarget": Action.ADD,
        "ScalingPolicy": Action.ADD,
    }


def test_an_alarm_that_calls_a_policy_goes_with_it() -> None:
    old = build("async")
    first, _ = split_update(old, build("async", instances=["ml.g5.xlarge"]))
    assert set(list_actions(old, first)) == {"ScalableTarget", "ScalingPolicy", "WakePolicy", "WakeAlarm"}


def test_the_order_of_pools_is_an_instance_type() -> None:
    old = build("pools")
    new = build("pools", instances=["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.g6.xlarge"])
    assert len(split_update(old, new)) == 2


def test_a_mode_does_not_change_in_place() -> None:
    told = why_not_in_place(build("realtime"), build("async"))
    assert told is not None
    assert told.startswith("The endpoint is realtime and cannot become async in place. Deploy it by a new name")
    assert why_not_in_place(build("realtime"), build("scaled")) is None
