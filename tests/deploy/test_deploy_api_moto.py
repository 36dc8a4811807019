"""The REST API made and deleted on moto, in both partitions, and its gateway at work in what the template made.

moto shows end states only, and no updates of parameters: `test_deploy_api_template` works out what those change.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import pytest
from cloud import ACCOUNT
from drawing import picture
from lambda_invoke import function_running
from test_deploy_moto import read_groups

from pixelserve_deploy import cli
from pixelserve_deploy.deployment.conditions import choose
from pixelserve_gateway import aws_lambda

REST = "apigateway"
LOOKS: dict[str, Callable[[Any], list[Any]]] = {
    "AWS::ApiGateway::RestApi": lambda aws: aws(REST).get_rest_apis()["items"],
    "AWS::ApiGateway::Resource": lambda aws: [one for one in list_of_api(aws, "get_resources") if one["path"] != "/"],
    "AWS::ApiGateway::Method": lambda aws: [
        method for one in list_of_api(aws, "get_resources") for method in one.get("resourceMethods", {})
    ],
    "AWS::ApiGateway::Deployment": lambda aws: list_of_api(aws, "get_deployments"),
    "AWS::ApiGateway::Stage": lambda aws: list_of_api(aws, "get_stages"),
    "AWS::ApplicationAutoScaling::ScalableTarget": lambda aws: aws("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker"
    )["ScalableTargets"],
    "AWS::ApplicationAutoScaling::ScalingPolicy": lambda aws: aws("application-autoscaling").describe_scaling_policies(
        ServiceNamespace="sagemaker"
    )["ScalingPolicies"],
    "AWS::CloudWatch::Alarm": lambda aws: aws("cloudwatch").describe_alarms()["MetricAlarms"],
    "AWS::DynamoDB::Table": lambda aws: aws("dynamodb").list_tables()["TableNames"],
    "AWS::Events::Rule": lambda aws: aws("events").list_rules()["Rules"],
    "AWS::IAM::Role": lambda aws: aws("iam").list_roles()["Roles"],
    "AWS::Lambda::EventSourceMapping": lambda aws: aws("lambda").list_event_source_mappings()["EventSourceMappings"],
    "AWS::Lambda::Function": lambda aws: aws("lambda").list_functions()["Functions"],
    "AWS::Lambda::Permission": lambda aws: list_permissions(aws("lambda")),
    "AWS::S3::Bucket": lambda aws: aws("s3").list_buckets()["Buckets"],
    "AWS::SNS::Subscription": lambda aws: aws("sns").list_subscriptions()["Subscriptions"],
    "AWS::SNS::Topic": lambda aws: aws("sns").list_topics()["Topics"],
    "AWS::SQS::Queue": lambda aws: aws("sqs").list_queues().get("QueueUrls", []),
    "AWS::SQS::QueuePolicy": lambda aws: list_queue_policies(aws("sqs")),
    "AWS::SageMaker::Endpoint": lambda aws: aws("sagemaker").list_endpoints()["Endpoints"],
    "AWS::SageMaker::EndpointConfig": lambda aws: aws("sagemaker").list_endpoint_configs()["EndpointConfigs"],
    "AWS::SageMaker::Model": lambda aws: aws("sagemaker").list_models()["Models"],
}
"""How each type of resource is seen without CloudFormation."""


def list_of_api(aws: Callable[[str], Any], operation: str) -> list[Any]:
    return [
        one
        for api in aws(REST).get_rest_apis()["items"]
        for answer in [getattr(aws(REST), operation)(restApiId=api["id"])]
        for one in answer.get("items", answer.get("item", []))
    ]


def list_permissions(client: Any) -> list[Any]:
    """Statements of the policies of functions; a function without one has none to get."""
    found = []
    for function in client.list_functions()["Functions"]:
        try:
            policy = client.get_policy(FunctionName=function["FunctionName"])["Policy"]
        except client.exceptions.ResourceNotFoundException:
            continue
        found += json.loads(policy)["Statement"]
    return found


def list_queue_policies(client: Any) -> list[Any]:
    urls = client.list_queues().get("QueueUrls", [])
    answers = [client.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]) for url in urls]
    return [answer["Attributes"]["Policy"] for answer in answers if "Policy" in answer.get("Attributes", {})]


def count_all(aws: Callable[[str], Any]) -> dict[str, int]:
    return {kind: count for kind, look in LOOKS.items() if (count := len(look(aws)))}


def deploy(region: str, *words: str) -> int:
    suffix = ".cn" if region.startswith("cn-") else ""
    image = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com{suffix}/pixelserve:1"
    images = ["--gateway-image", image, "--lambda-image", image, "--image", image]
    return cli.main(["stack", "deploy", *words, *images, "--yes", "--poll", "0.01"])


ALL = ["ImageSuperResolution=yes-sagemaker", "HumanImageSegmentation=yes-sagemaker", "ImageSimilarity=yes-lambda"]


@pytest.mark.parametrize("region", ["us-east-2", "cn-northwest-1"], indirect=True)
def test_everything_that_is_made_is_seen_and_then_gone(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, *ALL, "APIExplorer=yes", "--most", "2", "--asynchronous", "image-super-resolution") == 0
    (api,) = aws(REST).get_rest_apis()["items"]
    printed = capsys.readouterr().out
    address = f"https://{api['id']}.execute-api.{region}.amazonaws.com/prod"  # moto's AWS::URLSuffix is that everywhere
    assert f"aikitsInvokeURLImageSimilarity: {address}/image_similarity\n" in printed
    assert f"APIExplorer: {address}/explorer\n" in printed
    template = aws("cloudformation").get_template(StackName="pixelserve-api")["TemplateBody"]
    (stack,) = aws("cloudformation").describe_stacks(StackName="pixelserve-api")["Stacks"]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    made = Counter(one["Type"] for one in choose(template, parameters)["Resources"].values())
    assert made.keys() == LOOKS.keys()
    assert count_all(aws) == made
    bucket = aws("s3").list_buckets()["Buckets"][0]["Name"]
    aws("s3").put_object(Bucket=bucket, Key="gateway/results/1", Body=b"x")
    assert cli.main(["stack", "delete", "--dry-run"]) == 0
    assert f"1 objects in the bucket {bucket}\n" in capsys.readouterr().out
    assert read_groups(aws) == {
        "/aws/lambda/api-gateway": 30,
        "/aws/lambda/api-image-similarity": 30,
        "/aws/sagemaker/Endpoints/api-human-image-segmentation": 30,
        "/aws/sagemaker/Endpoints/api-image-super-resolution": 30,
        "/aws/sagemaker/Endpoints/api-image-super-resolution-async": 30,
    }
    assert cli.main(["stack", "delete", "--yes", "--poll", "0.01"]) == 0
    assert count_all(aws) == {}
    assert read_groups(aws) == {}


def test_a_stack_that_stands_needs_no_images_again(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, *ALL) == 0
    capsys.readouterr()
    assert cli.main(["stack", "deploy", "--yes", "--json", "--poll", "0.01"]) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["status"], end["changes"]) == ("done", [])
    assert end["cost_before"] == end["cost_after"]
    assert end["outputs"].keys() >= {"aikitsInvokeURLImageSimilarity", "Table"}


def test_its_endpoints_are_listed_and_not_swept_by_themselves(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, *ALL) == 0
    capsys.readouterr()
    assert cli.main(["ls"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert ["api", "pixelserve", "api"] in rows
    assert ["api-image-super-resolution", "pixelserve", "realtime"] in rows
    assert cli.main(["sweep", "--idle", "0m", "--dry-run"]) == 0
    assert "Endpoints of the API api go by its switches" in capsys.readouterr().out
    assert cli.main(["sweep", "--idle", "24h", "--yes"]) == 0
    assert "Every endpoint in us-east-2 is in use" in capsys.readouterr().out
    assert cli.main(["sweep", "--idle", "0m", "--yes", "--poll", "0.01"]) == 0
    assert "api is gone." in capsys.readouterr().out
    assert count_all(aws) == {}
    assert read_groups(aws) == {}


def test_a_plan_makes_nothing(aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(region, *ALL, "APIGatewayAuthorization=NONE", "--plan") == 10
    printed = capsys.readouterr().out
    assert "+   SuperResolutionEndpoint " in printed
    assert "Everybody who knows the address may call the API, at your cost." in printed
    assert count_all(aws) == {}
    assert aws("cloudformation").describe_stacks()["Stacks"] == []


def test_what_cannot_be_is_refused_before_anything_is_made(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, "ImageSimilarity=yes") == 3
    assert "write no or yes-lambda or yes-sagemaker" in capsys.readouterr().err
    assert deploy(region, *ALL, "--memory-mb", "20000") == 3
    assert "api-image-similarity: memory_mb" in capsys.readouterr().err
    assert deploy(region, *(word.replace("yes-lambda", "yes-sagemaker") for word in ALL), "shop") == 0
    capsys.readouterr()
    assert count_all(aws)["AWS::SageMaker::Endpoint"] == 3
    assert cli.main(["destroy", "shop", "--yes", "--poll", "0.01"]) == 0
    assert read_groups(aws) == {}


def test_an_endpoint_is_no_api(aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]) -> None:
    image = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/pixelserve:1"
    assert cli.main(["deploy", "upscaler", "--image", image, "--yes", "--poll", "0.01"]) == 0
    assert cli.main(["stack", "delete", "upscaler", "--yes"]) == 3
    assert "Remove it with `pixelserve destroy upscaler`" in capsys.readouterr().err
    assert deploy(region, "upscaler") == 3
    assert "cannot become api in place" in capsys.readouterr().err


@pytest.fixture
def gateway(aws: Callable[[str], Any], region: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """The gateway's handler with the environment that its function has on moto; image similarity is our function."""
    assert deploy(region, "ImageSimilarity=yes-lambda", "APIExplorer=yes", "APIGatewayStageName=v9") == 0
    configuration = aws("lambda").get_function_configuration(FunctionName="api-gateway")
    for name, value in configuration["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", region)
    with function_running("image_similarity") as function:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{function.server_port}")
        aws_lambda.load.cache_clear()

        def send(event: dict[str, Any]) -> Any:
            return aws_lambda.handler(event, SimpleNamespace(aws_request_id="r"))

        yield send
    aws_lambda.load.cache_clear()


def make_event(method: str, path: str, body: Any = None, *, signed: bool = True) -> dict[str, Any]:
    """A request as a REST API's proxy integration sends it (API Gateway developer guide, Lambda proxy integrations)."""
    caller = f"arn:aws:iam::{ACCOUNT}:user/me" if signed else None
    path, _, query = path.partition("?")
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json", "host": "a.execute-api.us-east-2.amazonaws.com"},
        "multiValueHeaders": {"content-type": ["application/json"], "host": ["a.execute-api.us-east-2.amazonaws.com"]},
        "queryStringParameters": dict(httpx.QueryParams(query)) or None,
        "multiValueQueryStringParameters": {key: [value] for key, value in httpx.QueryParams(query).items()} or None,
        "requestContext": {"identity": {"userArn": caller, "sourceIp": "203.0.113.9"}, "stage": "v9", "path": path},
        "body": None if body is None else base64.b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": body is not None,
    }


def read(answer: Any) -> Any:
    body = answer["body"]
    return json.loads(base64.b64decode(body) if answer["isBase64Encoded"] else body)


def test_the_gateway_works_with_what_the_template_made(gateway: Callable[..., Any], aws: Callable[[str], Any]) -> None:
    image = {"img": base64.b64encode(cv2.imencode(".png", picture(24, 32))[1].tobytes()).decode()}
    answer = gateway(make_event("POST", "/image_similarity", image))
    assert answer["statusCode"] == 200, answer
    assert len(read(answer)["result"]) == 512
    assert gateway(make_event("POST", "/image_similarity", image, signed=False))["statusCode"] == 401
    assert gateway(make_event("POST", "/image_super_resolution", image))["statusCode"] == 404
    assert gateway(make_event("GET", "/explorer", signed=False))["statusCode"] == 200

    job = read(gateway(make_event("POST", "/v1/jobs", {"feature": "similarity", "input": image})))
    assert job["state"] == "queued"
    assert gateway({"source": "aws.events", "detail-type": "Scheduled Event"}) is None
    told = read(gateway(make_event("GET", f"/v1/jobs/{job['id']}")))
    assert told["state"] == "succeeded"
    link = told["result"]["url"]
    (api,) = aws(REST).get_rest_apis()["items"]
    base = f"https://{api['id']}.execute-api.us-east-2.amazonaws.com/v9"
    assert link.startswith(f"{base}/results/")
    opened = gateway(make_event("GET", link.removeprefix(base), signed=False))
    assert opened["statusCode"] in (302, 303, 307), "S3 gives it"
    location = {key.lower(): value for key, value in opened["headers"].items()}["location"]
    assert len(httpx.get(location, trust_env=False).json()["result"]) == 512
