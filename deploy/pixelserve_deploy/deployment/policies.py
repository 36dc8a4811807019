"""The IAM policies of whoever deploys from GitHub, by its OpenID Connect: who may take on a role, and what it may.

What CloudFormation calls for a resource is what the handlers in its schemas say; what we call ourselves is `preflight`,
`stacks`, `logs` and `retained`. GitHub's claims: `OpenID Connect in Amazon Web Services`, GitHub Docs. Repositories
made since 2026-07-15 have the numbers of owner and repository in the subject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pixelserve.errors import BadRequest
from pixelserve_deploy.aws import find_partition
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.logs import list_groups
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates import (
    BUCKET_LETTERS,
    LAMBDA,
    ROLE_LETTERS,
    SAGEMAKER,
    SCHEDULE_LETTERS,
    SCHEDULER,
    TAG,
    Statement,
    allow,
    begin_name,
    build_template,
    split_s3,
)

IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)")
REPOSITORY = re.compile(r"(?P<owner>[\w.-]+)(@(?P<owner_id>\d+))?/(?P<name>[\w.-]+)(@(?P<id>\d+))?")
PROVIDER = "token.actions.githubusercontent.com"
AUDIENCES = {"aws": "sts.amazonaws.com", "aws-cn": "sts.amazonaws.com.cn"}
RELEASE = "release"
"""GitHub's environment whose jobs may push images; pull requests may plan."""

LOOK = "DescribeStacks DescribeStackEvents GetTemplate ListStackResources"
PUSH = (
    "BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload CreateRepository DescribeImages "
    "DescribeRepositories GetDownloadUrlForLayer InitiateLayerUpload PutImage TagResource UploadLayerPart"
)
"""`IAM permissions for pushing an image`, Amazon ECR's guide, and what `pixelserve push` asks and makes."""
LOGS = "CreateLogGroup TagResource ListTagsForResource PutRetentionPolicy FilterLogEvents DeleteLogGroup"
PLAN = "CreateChangeSet DescribeChangeSet DescribeEvents DeleteChangeSet"
CALLS = {
    "AWS::SageMaker::Model": "sagemaker: CreateModel DescribeModel DeleteModel AddTags DeleteTags ListTags",
    "AWS::SageMaker::EndpointConfig": (
        "sagemaker: CreateEndpointConfig DescribeEndpointConfig DeleteEndpointConfig AddTags DeleteTags ListTags"
    ),
    "AWS::SageMaker::Endpoint": (
        "sagemaker: CreateEndpoint DescribeEndpoint UpdateEndpoint UpdateEndpointWeightsAndCapacities DeleteEndpoint "
        "AddTags DeleteTags ListTags"
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling: RegisterScalableTarget DeregisterScalableTarget DescribeScalableTargets "
        "DescribeScheduledActions ListTagsForResource TagResource UntagResource"
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        "application-autoscaling: PutScalingPolicy DeleteScalingPolicy DescribeScalingPolicies"
    ),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch: PutMetricAlarm DeleteAlarms DescribeAlarms TagResource UntagResource ListTagsForResource"
    ),
    "AWS::IAM::Role": (
        "iam: CreateRole GetRole DeleteRole PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies "
        "DetachRolePolicy ListAttachedRolePolicies UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy "
        "PutRolePermissionsBoundary TagRole UntagRole"
    ),
    "AWS::S3::Bucket": (
        "s3: CreateBucket DeleteBucket PutEncryptionConfiguration GetEncryptionConfiguration PutLifecycleConfiguration "
        "GetLifecycleConfiguration PutBucketPublicAccessBlock GetBucketPublicAccessBlock PutBucketTagging "
        "GetBucketTagging ListBucketVersions DeleteObject DeleteObjectVersion"
    ),
    "AWS::SNS::Topic": (
        "sns: CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes TagResource UntagResource "
        "ListTagsForResource ListSubscriptionsByTopic GetDataProtectionPolicy"
    ),
    "AWS::Lambda::Function": (
        "lambda: CreateFunction GetFunction DeleteFunction UpdateFunctionCode UpdateFunctionConfiguration "
        "PutFunctionConcurrency DeleteFunctionConcurrency GetFunctionCodeSigningConfig GetFunctionRecursionConfig "
        "GetRuntimeManagementConfig TagResource UntagResource"
    ),
    "AWS::Lambda::Url": (
        "lambda: CreateFunctionUrlConfig GetFunctionUrlConfig UpdateFunctionUrlConfig DeleteFunctionUrlConfig"
    ),
    "AWS::Scheduler::Schedule": "scheduler: CreateSchedule GetSchedule UpdateSchedule DeleteSchedule",
}
"""By resource type, what CloudFormation calls with the caller's rights for what our templates set."""
ANYWHERE = ("application-autoscaling:", "cloudwatch:Describe")
"""Calls that cannot be bound to our names."""
OF_CONFIGURATIONS = ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint")
"""Calls that SageMaker judges by the endpoint and by its configuration too (CreateEndpoint's API reference;
aws/aws-cdk, issue 11594)."""
UNNAMED = ("AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig")
"""Types whose names do not begin with the stack's, so what may be deleted goes by our tag."""
OF_NAMESPACE = ("Register", "Deregister", "PutScaling", "DeleteScaling")
"""Beginnings of calls of Application Auto Scaling that can be bound to a service."""
OF_SAGEMAKER = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
BOUNDED = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")
"""Calls that may be allowed for roles with a boundary only. What takes a boundary off is never allowed."""
FOR_FUNCTIONS = ("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy")
"""With these of its caller, Lambda lets itself pull the image (`Amazon ECR permissions`, Lambda's guide)."""
NETWORK = ("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs")
"""What Lambda calls with its caller's rights for a function in a VPC (the same guide)."""


def make_policies(spec: EndpointSpec, repository: str, environment: str = "production") -> dict[str, Any]:
    """Three roles, `plan`, `push` and `deploy`, each with its trust and its permissions, for a GitHub repository.

    `repository` is OWNER/NAME, or OWNER@ID/NAME@ID with GitHub's numbers; jobs of its `environment` may deploy. Raises
    BadRequest for what is no repository, and for an image that is not in Amazon ECR.
    """
    image = IMAGE.match(spec.image)
    if image is None:
        raise BadRequest(f"{spec.image} is not in Amazon ECR: the policies take account and region from it.")
    place = Place(spec, image["account"], spec.region or image["region"])
    plan = [*place.allow_looking(image), *place.allow_planning()]
    return {
        "plan": {"trust": place.trust(repository, "pull_request"), "permissions": _document(plan)},
        "push": {
            "trust": place.trust(repository, f"environment:{RELEASE}"),
            "permissions": _document(place.allow_pushing(image)),
        },
        "deploy": {
            "trust": place.trust(repository, f"environment:{environment}"),
            "permissions": _document([*plan, *place.allow_deploying(image)]),
        },
    }


def _document(statements: Iterable[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def list_subjects(repository: str, context: str) -> list[str]:
    """GitHub's `sub` claims of a repository: the older form, and with its numbers the newer. Raises BadRequest."""
    parts = REPOSITORY.fullmatch(repository)
    if parts is None:
        raise BadRequest(f"{repository} is no repository: write OWNER/NAME, or OWNER@ID/NAME@ID with GitHub's numbers.")
    subjects = [f"repo:{parts['owner']}/{parts['name']}:{context}"]
    if parts["owner_id"] and parts["id"]:
        subjects.append(f"repo:{parts['owner']}@{parts['owner_id']}/{parts['name']}@{parts['id']}:{context}")
    return subjects


class Place:
    """ARNs and statements for one endpoint in an account and region."""

    def __init__(self, spec: EndpointSpec, account: str, region: str) -> None:
        self._spec = spec
        self._account = account
        self._region = region
        self._partition = find_partition(region)

    def arn(self, service: str, rest: str, *, region: str | None = None, account: str | None = None) -> str:
        where = self._region if region is None else region
        return f"arn:{self._partition}:{service}:{where}:{self._account if account is None else account}:{rest}"

    def trust(self, repository: str, context: str) -> dict[str, Any]:
        """Who may take on a role: jobs of the repository in a context."""
        claims = {f"{PROVIDER}:aud": AUDIENCES[self._partition], f"{PROVIDER}:sub": list_subjects(repository, context)}
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": self.arn("iam", f"oidc-provider/{PROVIDER}", region="")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": claims},
        }
        return _document([statement])

    def allow_looking(self, image: re.Match[str]) -> Iterator[Statement]:
        """What the preflight calls."""
        yield allow(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], self._find_repository(image))
        yield allow(["servicequotas:ListServiceQuotas"], "*")
        if self._spec.weights:
            bucket, _ = split_s3(self._spec.weights)
            yield allow(["s3:ListBucket"], self.arn("s3", bucket, region="", account=""))

    def allow_pushing(self, image: re.Match[str]) -> Iterator[Statement]:
        """What `pixelserve push` and the Docker Engine call."""
        yield allow(["ecr:GetAuthorizationToken"], "*")
        yield allow(_name("ecr", PUSH), self._find_repository(image))

    def allow_planning(self) -> Iterator[Statement]:
        """Change sets that are never executed."""
        yield allow(_name("cloudformation", f"{LOOK} {PLAN}"), self._stack())

    def allow_deploying(self, image: re.Match[str]) -> Iterator[Statement]:
        """Executing, following, clearing away, and what CloudFormation calls for the resources of this spec."""
        yield allow(_name("cloudformation", "ExecuteChangeSet DeleteStack"), self._stack())
        groups = [self.arn("logs", f"log-group:{group}") for group in list_groups(self._spec.name)]
        yield allow(_name("logs", LOGS), [*groups, *(f"{group}:*" for group in groups)])
        yield allow(["logs:DescribeLogGroups"], self.arn("logs", "log-group:*"))
        yield allow(["sagemaker:ListEndpointConfigs", "sagemaker:ListModels", "tag:GetResources"], "*")
        template = build_template(self._spec, Facts(region=self._region, account=self._account))
        kinds = dict.fromkeys(resource["Type"] for resource in template["Resources"].values())
        for kind in kinds:
            yield from self._allow_kind(kind)
        if self._spec.mode is Mode.LAMBDA:
            yield allow([*FOR_FUNCTIONS], self._find_repository(image))
            if self._spec.subnets:
                yield allow([*NETWORK], "*")
        if "AWS::SageMaker::Endpoint" in kinds:  # for the smoke test
            yield allow(["sagemaker:InvokeEndpoint"], self._locate("AWS::SageMaker::Endpoint"))
        services = {"StringEquals": {"iam:PassedToService": [SAGEMAKER, LAMBDA, SCHEDULER]}}
        roles = [role for role in (self._spec.role, self._spec.ttl_role) if role]
        own = [self._locate("AWS::IAM::Role")] if "AWS::IAM::Role" in kinds else []
        yield allow(["iam:PassRole"], [*own, *roles], **services)

    def _allow_kind(self, kind: str) -> Iterator[Statement]:
        service, _, words = CALLS[kind].partition(": ")
        statements: dict[str, Statement] = {}
        for action in _name(service, words):
            where, condition = self._bind(kind, action)
            same = statements.setdefault(json.dumps([where, condition]), allow([], where, **condition))
            same["Action"].append(action)
        yield from statements.values()
        if kind == "AWS::ApplicationAutoScaling::ScalableTarget":
            name = "sagemaker.application-autoscaling.amazonaws.com"
            path = f"role/aws-service-role/{name}/*"
            yield allow(["iam:CreateServiceLinkedRole"], self.arn("iam", path, region=""))

    def _bind(self, kind: str, action: str) -> tuple[Any, dict[str, Any]]:
        """What an action may be taken on, and under which condition."""
        operation = action.partition(":")[2]
        if action.startswith(ANYWHERE):
            return "*", OF_SAGEMAKER if operation.startswith(OF_NAMESPACE) else {}
        where = self._locate(kind)
        if action in OF_CONFIGURATIONS:
            return [where, self._locate("AWS::SageMaker::EndpointConfig")], {}
        if kind in UNNAMED and operation.startswith(("Delete", "AddTags")):
            judge = "StringEquals" if operation.startswith("Delete") else "StringEqualsIfExists"
            return where, {judge: {f"aws:ResourceTag/{TAG}": self._spec.name}}
        if action in BOUNDED and self._spec.permissions_boundary:
            return where, {"StringEquals": {"iam:PermissionsBoundary": self._spec.permissions_boundary}}
        return where, {}

    def _locate(self, kind: str) -> str:
        """The ARNs that resources of a type can have; CloudFormation names most of them by the stack."""
        stack, name = self._spec.stack, self._spec.name
        role = begin_name(stack, "ExpiryRole", ROLE_LETTERS)
        bucket = begin_name(stack, "Bucket", BUCKET_LETTERS)
        schedule = begin_name(stack, "ExpirySchedule", SCHEDULE_LETTERS)
        arns = {
            "AWS::SageMaker::Model": self.arn("sagemaker", "model/*"),
            "AWS::SageMaker::EndpointConfig": self.arn("sagemaker", "endpoint-config/*"),
            "AWS::SageMaker::Endpoint": self.arn("sagemaker", f"endpoint/{name}"),
            "AWS::CloudWatch::Alarm": self.arn("cloudwatch", f"alarm:{stack}-*"),
            "AWS::IAM::Role": self.arn("iam", f"role/{role}", region=""),
            "AWS::S3::Bucket": self.arn("s3", bucket, region="", account=""),
            "AWS::SNS::Topic": self.arn("sns", f"{stack}-*"),
            "AWS::Lambda::Function": self.arn("lambda", f"function:{name}"),
            "AWS::Lambda::Url": self.arn("lambda", f"function:{name}"),
            "AWS::Scheduler::Schedule": self.arn("scheduler", f"schedule/default/{schedule}"),
        }
        return arns[kind]

    def _find_repository(self, image: re.Match[str]) -> str:
        return self.arn("ecr", f"repository/{image['name']}", region=image["region"], account=image["account"])

    def _stack(self) -> str:
        return self.arn("cloudformation", f"stack/{self._spec.stack}/*")


def _name(service: str, actions: str) -> list[str]:
    return [f"{service}:{action}" for action in actions.split()]
