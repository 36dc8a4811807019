"""What somebody should know of a deployment that nothing refuses; a plan tells it."""

from __future__ import annotations

from pixelserve_deploy.cost import SUPER_RESOLUTION
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode, Update, count_in_update, has_gpu
from pixelserve_deploy.deployment.templates import choose_update, has_urls

ONLY_TRITON = (
    "AWS supports several models on a GPU with its NVIDIA Triton container only, and ours is another: SageMaker may "
    "refuse the endpoint. Take a CPU such as ml.c6i.xlarge, or an endpoint for each feature."
)
"""`Custom containers contract for multi-model endpoints`, SageMaker developer guide."""

METRICS = "CloudWatch bills some hundred metrics of an instance besides; observability = false leaves them out."


def list_notes(spec: EndpointSpec, facts: Facts) -> list[str]:
    """A sentence for each thing; none for most deployments."""
    notes = _describe_update(spec, facts) if spec.is_on_instances else []
    if spec.is_on_instances and spec.observability:
        notes.append(METRICS)
    if spec.mode is Mode.LAMBDA and not has_urls(facts.region):
        notes.append(f"{facts.region} has no function URLs: the function is called by its name, {spec.name}.")
    if spec.mode is Mode.LAMBDA and SUPER_RESOLUTION in spec.features:
        notes.append(
            f"400 x 400 pixels are advised on a CPU; an image that would take more than {spec.timeout_seconds} s is "
            "refused (413) before it is begun."
        )
    if spec.network_isolation:
        notes.append("The container is isolated: requests with a `url` are refused, images come in the request.")
    if spec.is_multi_model:
        archives = ", ".join(f"{feature}.tar.gz" for feature in spec.features)
        notes.append(f"Callers choose a feature by TargetModel: {archives}.")
        if has_gpu(spec.instances[0]):
            notes.append(ONLY_TRITON)
    return notes


def _describe_update(spec: EndpointSpec, facts: Facts) -> list[str]:
    """How the quota bears on updates; nothing where it is not known, or large enough."""
    kind = spec.instances[0]
    quota = facts.quotas.get(kind)
    if quota is None:
        return []
    update = choose_update(spec, facts)
    least, most = (count_in_update(update, instances) for instances in (spec.least, spec.greatest))
    ask = f"Ask for more of '{kind} for endpoint usage' in Service Quotas"
    if quota < least:
        return [
            f"An update takes {least} x {kind} for some minutes, and the quota is {quota}: it will fail. {ask} before "
            "the next one, or destroy the endpoint and deploy it again."
        ]
    notes = []
    if update is Update.ROLLING and spec.update is None:
        notes.append(f"The quota of {quota} x {kind} does not hold twice the instances: updates are rolling.")
    if quota < most:
        notes.append(
            f"An update keeps the instances that scaling has come to, and takes up to {most} x {kind} with them; the "
            f"quota is {quota}. {ask}, or update in a quiet hour."
        )
    return notes
