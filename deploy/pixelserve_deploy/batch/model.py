"""The model of a job: made from an endpoint's spec for the job and removed after it, or that of an endpoint on AWS."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pixelserve.errors import BadRequest
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.batch.jobs import OF_JOB, JobGoesOn, Machines
from pixelserve_deploy.calls import describe_endpoint
from pixelserve_deploy.deployment import INSTANCE, EndpointSpec, Facts, Mode, build_model, make_spec, refuse

NAME = 36
"""Letters of the spec's name in the model's, which has 63 at most."""
TAG = "pixelserve:job"
"""Of a job's model. It has not the endpoint's own tag: a deployment removes the models with that which it left."""


@dataclass(frozen=True)
class JobModel:
    """What a job runs: `properties` of a model that is to be made, or without them the name of one that is there."""

    name: str
    feature: str
    instance: str
    count: int
    properties: Mapping[str, Any] | None = None
    kms_key: str = ""
    tags: Mapping[str, str] | None = None

    def choose_machines(self, accept: str, megabytes: int | None, concurrency: int | None) -> Machines:
        return Machines(self.instance, self.count, accept, megabytes, concurrency, self.kms_key, self.tags)

    @contextmanager
    def made(self, session: Session) -> Iterator[str]:
        """The model's name while it is there; it stays as long as AWS goes on with a job, and `Jobs.settle` removes it.

        Raises AwsError.
        """
        if self.properties is None:
            yield self.name
            return
        client = session.client("sagemaker")
        client.create_model(ModelName=self.name, **self.properties)
        try:
            yield self.name
        except JobGoesOn:
            raise
        except BaseException:
            with suppress(AwsError):  # what broke it off is to be told
                client.delete_model(ModelName=self.name)
            raise
        client.delete_model(ModelName=self.name)


def find_job_model(session: Session, fields: Mapping[str, Any]) -> JobModel:
    """By the fields of a spec; without an image among them, by the endpoint of that name.

    Raises BadRequest for what cannot run in a job, and AwsError.
    """
    if "image" not in fields:
        found = describe_endpoint(session, fields["name"])
        if found.obstacle:
            raise BadRequest(found.obstacle)
        instance = next(iter(fields.get("instances", ())), found.instance or INSTANCE)
        return JobModel(found.model, found.feature, instance, int(fields.get("count") or 1))
    spec = make_spec({**fields, "region": session.region})
    facts = Facts(region=session.region)
    obstacles = [*_list_obstacles(spec)]
    spec = spec.model_copy(update={"mode": Mode.REALTIME})
    obstacles = obstacles or [refusal.message for refusal in refuse(spec, facts)]
    if obstacles:
        raise BadRequest(" ".join(obstacles))
    tags = [{"Key": key, "Value": value} for key, value in {**spec.tags, TAG: spec.name}.items()]
    properties = {**build_model(spec, facts)["Properties"], "Tags": tags}
    name = f"{OF_JOB}{spec.name[:NAME]}-{secrets.token_hex(4)}"  # two runs may go on at once
    feature = spec.features[0] if spec.features else ""
    return JobModel(name, feature, spec.instances[0], spec.count or 1, properties, spec.kms_key, spec.tags)


def _list_obstacles(spec: EndpointSpec) -> Iterator[str]:
    if not spec.role:
        yield (
            "A job needs --role: the ARN of a role that SageMaker may take on, and that may pull the image, read INPUT "
            "and the weights, and write OUTPUT."
        )
    if spec.is_multi_model:
        yield "A job serves one feature: give --features with one of them, and --weights with its archive."
    elif spec.weights.endswith("/"):
        yield "Batch transform takes weights as model.tar.gz: `pixelserve package … --to s3://…/model.tar.gz`."
    if spec.mode is Mode.LAMBDA:
        yield "An image for Lambda has no server: give --image with one of the target `server`."
