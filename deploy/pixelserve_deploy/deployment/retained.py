"""Models and configurations that an update left behind, and whether the endpoint runs the one that it should.

Updates keep the old pair (UpdateReplacePolicy Retain): SageMaker may go back to it without CloudFormation noticing.
"""

from __future__ import annotations

from collections.abc import Collection

from pixelserve_deploy.aws import Client, Session
from pixelserve_deploy.deployment.templates import TAG

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
    """ARNs of models and configurations with the endpoint's tag, but for the names in `used`, in lower case."""
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
    if not arns:
        return 0
    client = session.client("sagemaker")
    names = {arn.rpartition("/")[2].lower() for arn in arns}
    configs = _find_names(client, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", names)
    models = _find_names(client, "list_models", "Models", "ModelName", names)
    for config in configs:
        client.delete_endpoint_config(EndpointConfigName=config)
    for model in models:
        client.delete_model(ModelName=model)
    return len(configs) + len(models)


def _find_names(client: Client, operation: str, key: str, field: str, lower: Collection[str]) -> list[str]:
    """Names as they were given, of those that ARNs have in lower case."""
    found = [str(entry[field]) for page in client.pages(operation) for entry in page[key]]
    return [name for name in found if name.lower() in lower]
