"""The template of the REST API: cfn-lint, size, what its parameters leave and change, what the gateway reads of it."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_specs import FIELDS, SWITCHES, build_api, build_api_of
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from endpoint_specs import REGIONS

from pixelserve.errors import BadRequest
from pixelserve.features import FEATURES
from pixelserve_deploy.deployment.api import list_choices, set_parameters
from pixelserve_deploy.deployment.conditions import choose
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.reading import SpecError
from pixelserve_deploy.deployment.resolver import Action, refers, resolve
from pixelserve_deploy.deployment.rules import check_template
from pixelserve_deploy.deployment.steps import split_update
from pixelserve_deploy.deployment.templates import LARGEST_TEMPLATE, Template, build_api_template, render
from pixelserve_gateway import GatewaySettings

EVERY = pytest.mark.parametrize("name", FIELDS)
EVERYWHERE = pytest.mark.parametrize("region", REGIONS)
Judge = Callable[[str, str], list[Any]]


def with_parameters(base: str = "both", region: str = "us-east-2", **given: str) -> Template:
    """What the template of an API leaves with these parameters."""
    parameters = set_parameters(build_api(base, region), given, {})
    return choose(build_api_of(base, region), parameters)


def list_actions(old: Template, new: Template) -> dict[str, Action]:
    """By resource; of a Deployment without what is hashed into its name."""
    return {re.sub("Deployment.{8}$", "Deployment", change.resource): change.action for change in resolve(old, new)}


@EVERY
@EVERYWHERE
def test_cfn_lint_has_nothing_to_say(judge: Judge, name: str, region: str) -> None:
    assert judge(render(build_api_of(name, region)), region) == []


@EVERY
@EVERYWHERE
def test_it_is_sent_inline_and_keeps_our_rules(name: str, region: str) -> None:
    """`-rA` prints the sizes."""
    template = build_api_of(name, region)
    size = len(render(template).encode())
    sys.stdout.write(f"{name} in {region}: {size:,} bytes, {len(template['Resources'])} resources\n")
    assert size < LARGEST_TEMPLATE
    assert check_template(template, Facts(region=region)) == []


def test_what_is_too_large_is_refused_beforehand() -> None:
    spec = build_api("most", tags={f"tag-{number}": "x" * 40 for number in range(3)})
    template = build_api_template(spec, set_parameters(spec, {}, {}), Facts(region="us-east-2"))
    assert [finding.rule for finding in check_template(template, Facts(region="us-east-2"))] == ["size"]


@EVERYWHERE
def test_what_can_have_tags_has_them(region: str) -> None:
    for resource in build_api_of("bounded", region)["Resources"].values():
        tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, resource["Type"]).schema
        assert tags == ({"team": "pictures", "pixelserve": "api"} if schema["tagging"]["taggable"] else {})


def list_combinations() -> Iterator[dict[str, str]]:
    """Every choice of every parameter."""
    choices = list_choices(build_api("most"))
    names = [name for name, allowed in choices.items() if allowed]
    for values in itertools.product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def test_with_all_parameters_nothing_refers_to_what_is_not_there() -> None:
    for given in list_combinations():
        chosen = with_parameters("most", **given)
        there = chosen["Resources"].keys()
        for part in ("Resources", "Outputs"):
            for name, one in chosen[part].items():
                missing = {other for other in refers(one) if not other.startswith("AWS")} - there
                assert not missing, (given, name)


def test_its_parameters_and_outputs_are_those_that_the_documents_name() -> None:
    template = build_api_of()
    assert list(template["Parameters"]) == [
        "APIExplorer", "APIGatewayAuthorization", "APIGatewayStageName",
        "ImageSuperResolution", "HumanImageSegmentation", "ImageSimilarity",
    ]  # fmt: skip
    assert template["Parameters"]["ImageSimilarity"]["AllowedValues"] == ["no", "yes-lambda", "yes-sagemaker"]
    labels = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"]
    assert labels["ImageSimilarity"] == {"default": "Image Similarity"}
    outputs = with_parameters(APIExplorer="yes", ImageSimilarity="yes-lambda")["Outputs"]
    assert outputs.keys() == {"aikitsInvokeURLImageSimilarity", "APIExplorer", "Table", "Bucket"}
    assert outputs["aikitsInvokeURLImageSimilarity"]["Value"]["Fn::Sub"].endswith("/image_similarity")
    assert with_parameters()["Outputs"].keys() == {"Table", "Bucket"}


@pytest.mark.parametrize(("fields", "limits"), [({}, (50, 100)), ({"rate": 7}, (7, 14))])
def test_every_method_of_the_stage_is_limited(fields: dict[str, Any], limits: tuple[int, int]) -> None:
    """`/*` and `*` are all of them (AWS::ApiGateway::Stage MethodSetting)."""
    spec = build_api(**fields)
    template = build_api_template(spec, set_parameters(spec, {}, {}), Facts(region="us-east-2"))
    (setting,) = template["Resources"]["Stage"]["Properties"]["MethodSettings"]
    assert (setting["ResourcePath"], setting["HttpMethod"]) == ("/*", "*")
    assert (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"]) == limits


@pytest.mark.parametrize("old", ["AWS_IAM", "NONE"])
def test_another_authorization_moves_the_stage_to_another_copy(old: str) -> None:
    """A Deployment is a frozen copy: without this an API that was opened would stay as it was, and one closed open."""
    new = {"AWS_IAM": "NONE", "NONE": "AWS_IAM"}[old]
    actions = list_actions(with_parameters(APIGatewayAuthorization=old), with_parameters(APIGatewayAuthorization=new))
    added, removed = ("OpenDeployment", "SignedDeployment") if new == "NONE" else ("SignedDeployment", "OpenDeployment")
    assert actions == {
        "RootMethod": Action.MODIFY,
        "ProxyMethod": Action.MODIFY,
        "GatewayFunction": Action.MODIFY,
        "Stage": Action.MODIFY,
        added: Action.ADD,
        removed: Action.REMOVE,
    }


def test_a_feature_comes_and_goes_by_its_switch() -> None:
    on, off = with_parameters(ImageSimilarity="yes-sagemaker"), with_parameters()
    kept = {"GatewayFunction": Action.MODIFY}
    made = {f"Similarity{part}" for part in ("Model", "EndpointConfig", "Endpoint", "Role", "FailuresAlarm")}
    assert list_actions(off, on) == kept | dict.fromkeys(made, Action.ADD)
    assert list_actions(on, off) == kept | dict.fromkeys(made, Action.REMOVE)


def test_other_machines_of_endpoints_that_scale_take_two_change_sets() -> None:
    spec = build_api("most", instances=["ml.g5.xlarge"])
    new = build_api_template(spec, set_parameters(spec, {}, {}), Facts(region="us-east-2"))
    first, last = split_update(build_api_of("most"), new)
    assert last == new
    kinds = {one["Type"] for one in first["Resources"].values()}
    assert "AWS::ApplicationAutoScaling::ScalableTarget" not in kinds
    assert split_update(build_api_of("most"), build_api_of("most")) == [build_api_of("most")]


def read_gateway(base: str = "most", **given: str) -> GatewaySettings:
    """The gateway's settings of a template's variables; references become words."""
    chosen = with_parameters(base, **given)
    variables = chosen["Resources"]["GatewayFunction"]["Properties"]["Environment"]["Variables"]
    known = {field.metadata["env"] for field in GatewaySettings.__dataclass_fields__.values()}
    assert variables.keys() <= known
    return GatewaySettings.from_env({name: _put_words(value) for name, value in variables.items()})


def _put_words(value: Any) -> str:
    match value:
        case {"Fn::Join": [str(between), parts]}:
            return str(between).join(map(_put_words, parts))
        case {"Fn::Sub": str(text)}:
            return text.replace("${", "").replace("}", "")
        case {"Ref": str(name)}:
            return name
    return str(value)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_the_gateway_reads_who_serves_what(feature: Any) -> None:
    parameter, name = SWITCHES[FEATURES.index(feature)], f"{'a' * 20}-{feature.endpoint}"
    others = [other for other in FEATURES if other is not feature]
    off, function, endpoint = (read_gateway(**{parameter: way}) for way in ("no", "yes-lambda", "yes-sagemaker"))
    assert not any(off.serves(one) or off.async_endpoint(one) for one in FEATURES)
    assert (function.function(feature), function.endpoint(feature)) == (name, None)
    assert function.async_endpoint(feature) is None
    assert (endpoint.function(feature), endpoint.endpoint(feature)) == (None, name)
    assert endpoint.async_endpoint(feature) == f"{name}-async"
    assert not any(one.serves(other) for one in (function, endpoint) for other in others)


def test_the_gateway_reads_how_it_is_called() -> None:
    settings = read_gateway()
    assert (settings.authorization, settings.pages, settings.table) == ("iam", False, "Table")
    assert (settings.results, settings.async_outputs) == ("s3://Bucket/gateway", "s3://Bucket")
    assert settings.public_url == "https://Api.execute-api.AWS::Region.AWS::URLSuffix/prod"
    opened = read_gateway(APIGatewayAuthorization="NONE", APIExplorer="yes", APIGatewayStageName="v2")
    assert (opened.authorization, opened.pages) == ("none", True)
    assert opened.public_url.endswith("/v2")


def test_the_gateway_may_call_what_it_names_and_no_more() -> None:
    role = build_api_of("most")["Resources"]["GatewayRole"]["Properties"]
    (policy,) = [one["PolicyDocument"]["Statement"] for one in role["Policies"]]
    for statement in policy:
        assert statement["Resource"] != "*", statement
        assert not any("*" in action for action in statement["Action"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ImageSimilarity": "yes"}, "write no or yes-lambda or yes-sagemaker"),
        ({"Image Similarity": "no"}, "Image Similarity is no parameter. Parameters: APIExplorer"),
        ({"APIGatewayAuthorization": "none"}, "write AWS_IAM or NONE"),
        ({"APIGatewayStageName": "a/b"}, "write letters, digits and underscores"),
    ],
)
def test_a_parameter_that_is_none_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        set_parameters(build_api(), given, {})


def test_a_way_without_an_image_is_refused() -> None:
    with pytest.raises(BadRequest, match="needs --image"):
        set_parameters(build_api("functions"), {"ImageSimilarity": "yes-sagemaker"}, {})
    with pytest.raises(SpecError, match="Asynchronous endpoints are made from an image of the target server"):
        build_api("functions", asynchronous=["image-similarity"])
    with pytest.raises(SpecError, match="No feature can be served"):
        build_api("functions", lambda_image="")


def test_what_is_not_given_stays() -> None:
    former = {"APIExplorer": "yes", "ImageSimilarity": "yes-lambda"}
    chosen = set_parameters(build_api(), {"ImageSimilarity": "no"}, former)
    assert (chosen["APIExplorer"], chosen["ImageSimilarity"], chosen["APIGatewayStageName"]) == ("yes", "no", "prod")
