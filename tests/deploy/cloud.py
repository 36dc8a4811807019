"""moto as a server, taught the resource types that its CloudFormation skips with a warning.

Each type calls moto's own backend, so that what a template makes can be seen by the service's own API. End states
only: moto neither rolls back nor deletes in CloudFormation's order.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import boto3
import botocore.loaders
import botocore.session
import httpx
import pytest
from moto.apigateway.models import RestAPI, apigateway_backends
from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.exceptions import JsonRESTError
from moto.ecr.responses import ECRResponse
from moto.sagemaker.models import FakeEndpoint, FakeEndpointConfig
from moto.scheduler.models import scheduler_backends
from moto.server import ThreadedMotoServer
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

ACCOUNT = "123456789012"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 3_100_000_000}
QUOTAS = [{"QuotaName": "ml.g4dn.xlarge for endpoint usage", "Value": 4.0}]


class Taught:
    """A resource that is made from a template's properties and known by its physical id."""

    cf_type = ""
    cf_name = ""

    def __init__(self, physical: str, properties: dict[str, Any]) -> None:
        self.physical_resource_id = physical
        self.properties = properties

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.cf_type

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.cf_name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Self:
        properties = cloudformation_json.get("Properties", {})
        return cls(cls.make(resource_name, properties, account_id, region_name), properties)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Self,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Self:
        cls.remove(original_resource.physical_resource_id, account_id, region_name)
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        cls.remove(resource_name, account_id, region_name)

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        raise NotImplementedError

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        raise NotImplementedError

    def is_created(self) -> bool:
        return True


class TaughtAlarm(Taught):
    cf_type, cf_name = "AWS::CloudWatch::Alarm", "AlarmName"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        names = {"AlarmDescription": "description", "TreatMissingData": "treat_missing_data"}
        given = {
            names.get(key) or re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): value
            for key, value in properties.items()
            if key not in ("AlarmName", "Dimensions", "Tags", "Metrics")
        }
        dimensions = properties.get("Dimensions", [])
        defaults: dict[str, Any] = {"statistic": None, "alarm_actions": [], "period": 60}
        backend = cloudwatch_backends[account][region]
        backend.put_metric_alarm(name=name, dimensions=dimensions, **{**defaults, **given}, tags=properties.get("Tags"))
        return name

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        cloudwatch_backends[account][region].delete_alarms([physical])


class TaughtTarget(Taught):
    cf_type = "AWS::ApplicationAutoScaling::ScalableTarget"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        place = (properties["ServiceNamespace"], properties["ResourceId"], properties["ScalableDimension"])
        suspended: Any = {}
        limits = (int(properties["MinCapacity"]), int(properties["MaxCapacity"]))
        applicationautoscaling_backends[account][region].register_scalable_target(*place, *limits, "", suspended)
        return "|".join((place[1], place[2], place[0]))  # as CloudFormation's Ref of it

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        resource, dimension, namespace = physical.split("|")
        with suppress(AWSValidationException):  # it is gone: moto deletes in any order
            applicationautoscaling_backends[account][region].deregister_scalable_target(namespace, resource, dimension)


class TaughtPolicy(Taught):
    cf_type = "AWS::ApplicationAutoScaling::ScalingPolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        resource, dimension, namespace = properties["ScalingTargetId"].split("|")
        kind = properties["PolicyType"]
        policy = applicationautoscaling_backends[account][region].put_scaling_policy(
            properties["PolicyName"],
            namespace,
            resource,
            dimension,
            properties.get(
                "TargetTrackingScalingPolicyConfiguration", properties.get("StepScalingPolicyConfiguration")
            ),
            kind,
        )
        return "|".join((policy.policy_name, namespace, resource, dimension))

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        with suppress(AWSValidationException):
            applicationautoscaling_backends[account][region].delete_scaling_policy(*physical.split("|"))


class TaughtUrl(Taught):
    cf_type = "AWS::Lambda::Url"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "FunctionUrl"

    def get_cfn_attribute(self, attribute: str) -> str:
        return f"https://{self.physical_resource_id}.lambda-url.example/"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        function = properties["TargetFunctionArn"]
        lambda_backends[account][region].create_function_url_config(function, properties)
        return str(function)

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        with suppress(UnknownFunctionException):  # moto deletes in any order
            lambda_backends[account][region].delete_function_url_config(physical)


class TaughtSchedule(Taught):
    cf_type, cf_name = "AWS::Scheduler::Schedule", "Name"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        given = {re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): value for key, value in properties.items()}
        unset: dict[str, Any] = dict.fromkeys(
            ("end_date", "group_name", "kms_key_arn", "start_date", "action_after_completion")
        )
        scheduler_backends[account][region].create_schedule(name=name, state="ENABLED", **unset, **given)
        return name

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        scheduler_backends[account][region].delete_schedule(None, physical)


class TaughtStage(Taught):
    cf_type, cf_name = "AWS::ApiGateway::Stage", "StageName"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Self:
        properties = cloudformation_json["Properties"]
        chosen = properties["DeploymentId"]  # a Ref in an Fn::If is the resource, not its id
        deployment = getattr(chosen, "id", chosen)
        backend = apigateway_backends[account_id][region_name]
        backend.create_stage(properties["RestApiId"], properties["StageName"], deployment)
        return cls(properties["StageName"], properties)

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        """It goes with its API, which moto may delete before it."""


class TaughtSubscription(Taught):
    cf_type = "AWS::SNS::Subscription"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        backend = sns_backends[account][region]
        made = backend.subscribe(properties["TopicArn"], properties["Endpoint"], properties["Protocol"])
        raw = str(properties["RawMessageDelivery"]).lower()
        backend.set_subscription_attributes(made.arn, "RawMessageDelivery", raw)
        return str(made.arn)

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        sns_backends[account][region].unsubscribe(physical)


class TaughtQueuePolicy(Taught):
    cf_type = "AWS::SQS::QueuePolicy"

    @classmethod
    def make(cls, name: str, properties: dict[str, Any], account: str, region: str) -> str:
        for url in properties["Queues"]:
            policy = {"Policy": json.dumps(properties["PolicyDocument"])}
            sqs_backends[account][region].set_queue_attributes(url.rpartition("/")[2], policy)
        return name

    @classmethod
    def remove(cls, physical: str, account: str, region: str) -> None:
        """It goes with its queue."""


def _delete_api(_: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str) -> None:
    """moto deletes no REST API with its stack; what is below one goes with it."""
    backend = apigateway_backends[account_id][region_name]
    for found in [api for api in backend.apis.values() if api.name == cloudformation_json["Properties"]["Name"]]:
        backend.delete_rest_api(found.id)


def _execute_with_outputs(self: CloudFormationBackend, *names: str, **more: str) -> None:
    """moto reckons no outputs of a stack that a change set makes."""
    _execute(self, *names, **more)
    for stack in self.stacks.values():
        stack._parse_template()
        stack.output_map = stack._create_output_map()


_execute: Any = CloudFormationBackend.execute_change_set


@contextmanager
def taught_cloud() -> Iterator[str]:
    """The URL of a server that stands for every service of AWS."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda path=None: loader)  # reads the services' models once
        arn = property(lambda config: config.endpoint_config_arn, lambda config, value: None)
        patch.setattr(FakeEndpointConfig, "arn", arn, raising=False)  # moto makes it a tuple
        patch.setattr(FakeEndpoint, "cloudformation_name_type", staticmethod(lambda: "EndpointName"))  # moto drops it
        patch.setattr(CloudFormationBackend, "execute_change_set", _execute_with_outputs)
        # moto raises where CloudFormation makes a change set that FAILED
        patch.setattr(CloudFormationResponse, "_validate_different_update", lambda *_: None)
        patch.setattr(RestAPI, "delete_from_cloudformation_json", staticmethod(_delete_api))
        models = [*parsing.get_model_list(), *Taught.__subclasses__()]
        patch.setattr(parsing, "get_model_list", lambda: models)
        for name in ("get_model_map", "get_name_type_map"):
            patch.setattr(parsing, name, functools.cache(getattr(parsing, name).__wrapped__))
        patch.setattr(
            ServiceQuotasResponse, "list_service_quotas", lambda _: json.dumps({"Quotas": QUOTAS}), raising=False
        )
        patch.setattr(ECRResponse, "get_download_url_for_layer", _hold_no_layers)
        patch.setattr(logging.getLogger("werkzeug"), "disabled", True)
        server = ThreadedMotoServer("127.0.0.1", 0)
        server.start()
        try:
            yield "http://{}:{}".format(*server.get_host_and_port())
        finally:
            server.stop()


def _hold_no_layers(_: ECRResponse) -> None:
    """moto keeps manifests only (API reference of GetDownloadUrlForLayer, errors)."""
    raise JsonRESTError("LayersNotFoundException", "The specified layers could not be found.")


def open_account(url: str, region: str, patch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Clients of an account with nothing in it but an image in ECR, which the environment leads to from now on."""
    httpx.post(f"{url}/moto-api/reset", trust_env=False).raise_for_status()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", region)
    patch.setenv("AWS_ENDPOINT_URL", url)
    client = functools.cache(boto3.Session().client)
    client("ecr").create_repository(repositoryName="pixelserve")
    kind = "application/vnd.docker.container.image.v1+json"
    config = {"mediaType": kind, "size": 9, "digest": "sha256:" + "c" * 64}
    for tag in ("1", "2"):
        layers = [{**LAYER, "digest": "sha256:" + tag * 64}]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        client("ecr").put_image(repositoryName="pixelserve", imageManifest=json.dumps(manifest), imageTag=tag)
    return client


def name_image(region: str, tag: str = "1") -> str:
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com{suffix}/pixelserve:{tag}"
