"""Models and configurations that an update left behind, and whether the endpoint runs the one that it should.

Updates keep the old pair (UpdateReplacePolicy Retain): SageMaker may go back to it without CloudFormation noticing.
"""

from __future__ import annotations

from collections.abc import Collection

from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment.stacks import Stack
from pixelserve_deploy.deployment.templates.resource import TAG

CONFIG_TYPE, MODEL_TYPE = "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Model"


def find_silent_rollback(session: Session, stack: Stack, name: str) -> str:
    """What SageMaker says of an update that it took back although the stack says it is done; empty: it did not."""
    wanted = stack.find_physical(CONFIG_TYPE)
    if not wanted:
        return ""
    endpoint = session.client("sagemaker").describe_endpoint(EndpointName=name)
    running = endpoint["EndpointConfigName"]
    if running == wanted:
        return ""
    reason = endpoint.get("FailureReason", "no reason given")
    return f"The endpoint still runs {running}, not {wanted}: SageMaker took the update back ({reason})."


def list_left(session: Session, stack: Stack, name: str) -> list[str]:
    """ARNs of the endpoint's models and configurations that its stack no longer has and that do not run."""
    used = {stack.find_physical(CONFIG_TYPE), stack.find_physical(MODEL_TYPE)} if stack.find() else set()
    client = session.client("resourcegroupstaggingapi")
    pages = client.pages(
        "get_resources",
        "PaginationToken",
        TagFilters=[{"Key": TAG, "Values": [name]}],
        ResourceTypeFilters=["sagemaker:endpoint-config", "sagemaker:model"],
    )
    arns = [str(found["ResourceARN"]) for page in pages for found in page["ResourceTagMappingList"]]
    return [arn for arn in arns if arn.rpartition("/")[2] not in used]


def remove(session: Session, arns: Collection[str]) -> int:
    """Deletes models and configurations; how many were still there (tags outlive what they are on by a while)."""
    client = session.client("sagemaker")
    removed = 0
    for arn in sorted(arns):  # configurations before the models that they name
        name = arn.rpartition("/")[2]
        try:
            if ":endpoint-config/" in arn:
                client.delete_endpoint_config(EndpointConfigName=name)
            else:
                client.delete_model(ModelName=name)
        except AwsError as error:
            if "could not find" not in error.message.lower():
                raise
        else:
            removed += 1
    return removed
