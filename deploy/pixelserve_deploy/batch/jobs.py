"""Transform jobs one after another, each followed to its end. What is done is what lies in the output.

The one job that runs is remembered beside the outputs before it is made, so that the same command, run again, follows
it instead of sending its images a second time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.local import JobReport
from pixelserve.processes import Stop, Stopped
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.batch.shards import OUT, Order, Shard
from pixelserve_deploy.batch.store import Prefix
from pixelserve_deploy.calls import RECORD
from pixelserve_deploy.deployment import has_gpu

POLL_SECONDS = 15.0
STATE = f"{RECORD}job.json"
OF_JOB = "pixelserve-job-"
"""How models that are made for jobs are called."""
MANIFESTS = f"{RECORD}manifests/"
LOG_GROUP = "/aws/sagemaker/TransformJobs"
BATCH_AMI = "al2-ami-sagemaker-batch-gpu-535"
"""TransformAmiVersion of the newest driver (CreateTransformJob); by default it is 470, too old for CUDA 12."""
UNTYPED = "application/octet-stream"
"""A job has one content type for all its images; under this one our server looks at each."""
LOCAL_DISK = re.compile(r"ml\.(g[5-9]|gr\d|p[5-9]|trn|[a-z]+\d+[a-z]*d)[a-z]*\d*[a-z-]*\.")
"""Instance types with disks of their own, which a VolumeKmsKeyId is refused for (TransformResources; Instance Store
Volumes, EC2's guide)."""
ENDED = frozenset({"Completed", "Failed", "Stopped"})
LINE = re.compile(r"\[sagemaker logs\]: (?P<object>.+?): (?P<error>.+?)\s*$")
"""What a job's log says of an object: aws/sagemaker-python-sdk#1951 has such a line."""


class JobFailed(PixelserveError):
    """A job gave nothing, so the others were not started."""

    code = "job_failed"


class JobGoesOn(PixelserveError):
    """The command ends while AWS goes on with the job."""

    code = "job_goes_on"


@dataclass(frozen=True)
class Machines:
    """What every job runs on, and its limits; None leaves them to the container's execution parameters."""

    instance: str
    count: int = 1
    accept: str = "*/*"
    payload_megabytes: int | None = None
    concurrency: int | None = None
    kms_key: str = ""
    tags: Mapping[str, str] | None = None


def make_request(job: str, model: str, machines: Machines, target: Prefix, shard: Shard) -> dict[str, Any]:
    """The parameters of CreateTransformJob; the manifest lies in the output's record."""
    resources: dict[str, Any] = {"InstanceType": machines.instance, "InstanceCount": machines.count}
    if has_gpu(machines.instance):
        resources["TransformAmiVersion"] = BATCH_AMI
    output = {"S3OutputPath": str(target.below(shard.folder)).rstrip("/"), "Accept": machines.accept}
    if machines.kms_key:
        output["KmsKeyId"] = machines.kms_key
        if not LOCAL_DISK.match(machines.instance):
            resources["VolumeKmsKeyId"] = machines.kms_key
    manifest = {"S3DataType": "ManifestFile", "S3Uri": f"{target}{MANIFESTS}{job}.json"}
    request: dict[str, Any] = {
        "TransformJobName": job,
        "ModelName": model,
        "BatchStrategy": "SingleRecord",
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 3},
        "TransformInput": {
            "DataSource": {"S3DataSource": manifest},
            "ContentType": UNTYPED,
            "SplitType": "None",
            "CompressionType": "None",
        },
        "TransformOutput": {**output, "AssembleWith": "None"},
        "TransformResources": resources,
        "Tags": [{"Key": key, "Value": value} for key, value in (machines.tags or {}).items()],
    }
    if machines.payload_megabytes:
        request["MaxPayloadInMB"] = machines.payload_megabytes
    if machines.concurrency:
        request["MaxConcurrentTransforms"] = machines.concurrency
    return request


def count_images(number: int) -> str:
    return f"{number:,} image{'s' * (number != 1)}"


class Jobs:
    """The jobs of one input and output. `show` gets a line for what happens."""

    def __init__(
        self, session: Session, source: Prefix, target: Prefix, show: Callable[[str], None], stop: Stop, poll: float
    ) -> None:
        self._session = session
        self._client = session.client("sagemaker")
        self.source = source
        self.target = target
        self._show = show
        self._stop = stop
        self._poll = poll

    def settle(self) -> None:
        """Follows a job that an earlier run has left, and removes the model that was made for it.

        Raises JobGoesOn, and AwsError.
        """
        left = self.target.read_json(STATE)
        if left is None:
            return
        if self._status_of(left["job"]) is not None:
            self._show(f"{left['job']} of an earlier run is looked at first.")
            self._follow(left["job"])
        if left.get("model", "").startswith(OF_JOB):
            try:
                self._client.delete_model(ModelName=left["model"])
            except AwsError as error:
                if "not find" not in error.message:
                    raise

    def run(self, name: str, model: str, machines: Machines, order: Order) -> None:
        """Starts and follows a job for each shard, and counts in the order's report.

        Raises JobGoesOn when the command ends before the job, JobFailed before the others of a job that gave nothing,
        and AwsError.
        """
        for number, shard in enumerate(order.shards, start=1):
            self._stop.check()
            moment = f"{datetime.now(UTC):%Y%m%d%H%M%S%f}"[:-3]  # a run may begin within a second of another
            job = f"pixelserve-{name[:28]}-{moment}-{number}"
            self.target.write(f"{MANIFESTS}{job}.json", shard.write_manifest(str(self.source)))
            self.target.write(STATE, json.dumps({"job": job, "model": model}).encode())
            self._client.create_transform_job(**make_request(job, model, machines, self.target, shard))
            where = f" of {self.source}{shard.folder}" if shard.folder else ""
            self._show(f"{job} ({number} of {len(order.shards)}): {count_images(len(shard.files))}{where}")
            told = self._follow(job)
            did_something = self._count(job, told, shard, order.report)
            if told and not did_something and number < len(order.shards):
                raise JobFailed(
                    f"{job} gave nothing: {told.rstrip('.')}. The other {len(order.shards) - number} were not started: "
                    f"mend the cause (`aws logs tail {LOG_GROUP} --log-stream-name-prefix {job}/`), then run the same "
                    "command again."
                )

    def _status_of(self, job: str) -> str | None:
        """None where no such job was made: the command ended between its note and its start."""
        try:
            return str(self._client.describe_transform_job(TransformJobName=job)["TransformJobStatus"])
        except AwsError as error:
            if "not find" not in error.message:
                raise
            return None

    def _follow(self, job: str) -> str:
        """Waits until the job has ended; why it failed, "" when it did not."""
        before = ""
        try:
            while True:
                told = self._client.describe_transform_job(TransformJobName=job)
                status = told["TransformJobStatus"]
                if status != before:
                    self._show(f"{job}: {status}")
                    before = status
                if status in ENDED:
                    return str(told.get("FailureReason") or ("" if status == "Completed" else status))
                self._stop.wait(self._poll)
                self._stop.check()
        except (AwsError, Stopped) as error:
            lost = ""
            if isinstance(error, AwsError):
                renew = "renew the credentials; then " if error.is_expired else ""
                lost = f"{error.message.rstrip('.')}. It was lost sight of: {renew}run the same command again. "
            raise JobGoesOn(
                f"{lost}AWS goes on with {job}; the same command follows it. To end it: "
                f"aws sagemaker stop-transform-job --transform-job-name {job}"
            ) from None

    def _count(self, job: str, reason: str, shard: Shard, report: JobReport) -> bool:
        """Those with an output are done; the others have failed, with what the job's log says of each.

        Whether the job did anything: gave an output, or an error of an image, or what its log does not tell us.
        """
        there = self.target.below(shard.folder).list()
        lost = [file for file in shard.files if file + OUT not in there]
        done = len(shard.files) - len(lost)
        report.done += done
        told = self._read_log(job) if lost else {}
        general = reason or f"{job} is complete, and there is no output of it"
        for file in lost:
            key = f"{self.source.bucket}/{self.source.key}{shard.folder}{file}"
            report.failures[shard.folder + file] = (told or {}).get(key) or (told or {}).get(file) or general
        return bool(done or told or told is None)

    def _read_log(self, job: str) -> dict[str, str] | None:
        """Errors by the object, of the lines that name one; None where the log cannot be read."""
        client = self._session.client("logs")
        told: dict[str, str] = {}
        try:
            for page in client.pages(
                "filter_log_events", "nextToken", logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/"
            ):
                for event in page["events"]:
                    found = LINE.search(event["message"])
                    if found:
                        told[found["object"]] = found["error"]
        except AwsError as error:
            if error.reason == "ResourceNotFoundException":  # no container has written yet
                return told
            self._show(f"The log of {job} could not be read: {error.message}")
            return None
        return told
