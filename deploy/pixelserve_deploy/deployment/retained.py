"""Models and configurations that an update left behind, and whether the endpoint runs the one that it should.

Updates keep the old pair (UpdateReplacePolicy Retain): SageMaker may go back to it without CloudFormation noticing.
"""

from __future__ import annotations

from collections.abc import Collection

from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment.templates.resource import TAG

CONFIG_TYPE, MODEL_TYPE = "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Model"


def find_silent_rollback(session: Session, wanted: Collection[str], name: str) -> str:
    """What SageMaker says of an update that it took back although the stack says it is done; empty: it did not.

    `wanted` are the names of the stack's configuration and model, in lower case.
    """
    endpoint = session.client("sagemaker").describe_endpoint(EndpointName=name)
    running = endpoint["EndpointConfigName"]
    if running.lower() in wanted:
        return ""
    reason = endpoint.get("FailureReason", "no reason given")
    return f"The endpoint still runs {running}, which is not the stack's: SageMaker took the update back ({reason})."


def list_left(session: Session, used: Collection[str], name: str) -> list[str]:
    """ARNs of models and configurations that are tagged as the endpoint's, but for the names in `used`, in lower case."""
    client = session.client("resourcegroupstaggingapi")
    pages = client.pages(
        "get_resources",
        "PaginationToken",
        TagFilters=[{"Key": TAG, "Values": [name]}],
        ResourceTypeFilters=["sagemaker:endpoint-config", "sagemaker:model"],
    )
    arns = [str(found["ResourceARN"]) for page in pages for found in page["ResourceTagMappingList"]]
    return [arn for arn in arns if arn.rpartition("/")[2].lower() not in used]


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
