"""Wrong specs, each refused before any call, with the sentence that a person reads.

What a spec cannot say at all, such as two update policies or a policy without its target, is broken in templates:
test_deploy_rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from endpoint_specs import build_facts, build_spec

from pixelserve_deploy.deployment.reading import SpecError
from pixelserve_deploy.deployment.refusals import refuse


@dataclass(frozen=True)
class Wrong:
    """What is wrong, the fields of a spec that has it, and what is said."""

    what: str
    fields: dict[str, Any]
    told: str
    facts: dict[str, Any] = field(default_factory=dict)
    base: str = "realtime"
    region: str = "us-east-2"


OFFERED = frozenset({"ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.c6i.xlarge"})
WRONG = (
    Wrong(
        "upper case",
        {"name": "Upscaler"},
        "name: 'Upscaler' does not fit. Write lower-case letters, digits and single hyphens, at most 63, "
        "such as image-super-resolution.",
    ),
    Wrong(
        "underscore",
        {"name": "image_similarity"},
        "name: 'image_similarity' does not fit. Write lower-case letters, digits and single hyphens, at most "
        "63, such as image-super-resolution.",
    ),
    Wrong(
        "64 characters",
        {"name": "a" * 64},
        "name: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' does not fit. Write "
        "lower-case letters, digits and single hyphens, at most 63, such as image-super-resolution.",
    ),
    Wrong(
        "a mode of its own",
        {"mode": "realtimes"},
        "mode: 'realtimes' does not fit: it should be 'realtime', 'async', 'serverless' or 'lambda'.",
    ),
    Wrong(
        "a typing error",
        {"instnaces": ["ml.g4dn.xlarge"]},
        "instnaces: There is no such field. Did you mean instances?",
    ),
    Wrong(
        "an unknown field",
        {"gpu": True},
        "gpu: There is no such field. Fields: name, mode, image, features, region, weights, instances, "
        "count, most, concurrent, ami, memory_mb, concurrency, timeout_seconds, start_seconds, role, "
        "permissions_boundary, subnets, security_groups, kms_key, network_isolation, tags, environment, "
        "update, ttl_hours, ttl_role, output, capture, capture_percent, observability.",
    ),
    Wrong(
        "six pools",
        {"instances": [f"ml.g{n}.xlarge" for n in range(6)]},
        "instances: ['ml.g0.xlarge', 'ml.g1.xlarge', 'ml.g2.xlarge', 'ml.g3.xlarge', 'ml.g4.xlarge', "
        "'ml.g5.xlarge'] does not fit. Write one to five instance types, such as [\"ml.g4dn.xlarge\", "
        '"ml.g5.xlarge"].',
    ),
    Wrong(
        "no instances",
        {"instances": []},
        'instances: [] does not fit. Write one to five instance types, such as ["ml.g4dn.xlarge", "ml.g5.xlarge"].',
    ),
    Wrong("minus one", {"count": -1}, "count: -1 does not fit: it should be greater than or equal to 0."),
    Wrong(
        "a share of nothing",
        {"capture": "s3://captured/", "capture_percent": 0},
        "capture_percent: 0 does not fit: it should be greater than or equal to 1.",
    ),
    Wrong(
        "minutes to live",
        {"ttl_hours": 0.1},
        "ttl_hours: 0.1 does not fit. Write half an hour to a year, such as 8, or --ttl 8h.",
    ),
    Wrong(
        "seconds to start",
        {"start_seconds": 5},
        "start_seconds: 5 does not fit: it should be greater than or equal to 60.",
    ),
    Wrong(
        "no region",
        {},
        "region: 'us-east2' is no region. Write one such as us-east-2 or cn-northwest-1.",
        facts={"region": "us-east2"},
    ),
    Wrong(
        "GovCloud",
        {},
        "region: us-gov-west-1 is in neither aws nor aws-cn. Take a region of these.",
        facts={"region": "us-gov-west-1"},
    ),
    Wrong(
        "two regions",
        {"region": "eu-west-1"},
        "region: The spec says eu-west-1, the command us-east-2. Say the same in both.",
    ),
    Wrong(
        "image of Docker Hub",
        {"image": "pixelserve:0.1.0"},
        "image: pixelserve:0.1.0 is no image in Amazon ECR with a tag or digest. Write "
        "ACCOUNT.dkr.ecr.us-east-2.amazonaws.com/NAME:TAG, as `pixelserve push` prints it.",
    ),
    Wrong(
        "image without a tag",
        {"image": "123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve"},
        "image: 123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve is no image in Amazon ECR with a tag "
        "or digest. Write ACCOUNT.dkr.ecr.us-east-2.amazonaws.com/NAME:TAG, as `pixelserve push` prints it.",
    ),
    Wrong(
        "image of another region",
        {"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pixelserve:0.1.0"},
        "image: The image is in eu-west-1, the endpoint in us-east-2. Push it there: pixelserve push "
        "--region us-east-2.",
    ),
    Wrong(
        "image of China",
        {"image": "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn/pixelserve:0.1.0"},
        "image: us-east-2 pulls from amazonaws.com, not amazonaws.com.cn. Push it there.",
    ),
    Wrong(
        "image of the world in China",
        {"image": "123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve:0.1.0"},
        "image: cn-northwest-1 pulls from amazonaws.com.cn, not amazonaws.com. Push it there.",
        region="cn-northwest-1",
    ),
    Wrong(
        "role by name",
        {"role": "execution-role"},
        "role: execution-role is no ARN of this kind. Write arn:aws:iam::ACCOUNT:role/NAME.",
    ),
    Wrong(
        "role of another partition",
        {"role": "arn:aws-cn:iam::123456789012:role/run"},
        "role: us-east-2 is in the partition aws, not aws-cn. Write arn:aws:iam::ACCOUNT:role/NAME.",
    ),
    Wrong(
        "role of another account",
        {"role": "arn:aws:iam::999999999999:role/run"},
        "role: It is of the account 999999999999, and the credentials are of 123456789012. A role cannot be "
        "passed to another account: take one of this.",
    ),
    Wrong(
        "user for a role",
        {"role": "arn:aws:iam::123456789012:user/ann"},
        "role: arn:aws:iam::123456789012:user/ann is no ARN of this kind. Write arn:aws:iam::ACCOUNT:role/NAME.",
    ),
    Wrong(
        "role for a boundary",
        {"permissions_boundary": "arn:aws:iam::123456789012:role/bound"},
        "permissions_boundary: arn:aws:iam::123456789012:role/bound is no ARN of this kind. Write "
        "arn:aws:iam::ACCOUNT:policy/NAME.",
    ),
    Wrong(
        "boundary of no role",
        {"permissions_boundary": "arn:aws:iam::123456789012:policy/bound"},
        "permissions_boundary: With `role` the stack makes no role to bound. Remove one of the two.",
        base="own-role",
    ),
    Wrong(
        "key by alias",
        {"kms_key": "alias/mine"},
        "kms_key: alias/mine is no ARN of this kind. Write arn:aws:kms:us-east-2:ACCOUNT:key/ID.",
    ),
    Wrong(
        "key of another region",
        {"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/1"},
        "kms_key: It is in eu-west-1, the endpoint in us-east-2. Take one of us-east-2.",
    ),
    Wrong(
        "key of another partition",
        {"kms_key": "arn:aws:kms:us-east-2:123456789012:key/1"},
        "kms_key: cn-northwest-1 is in the partition aws-cn, not aws. Write "
        "arn:aws-cn:kms:cn-northwest-1:ACCOUNT:key/ID.",
        region="cn-northwest-1",
    ),
    Wrong(
        "weights by https",
        {"weights": "https://weights.s3.amazonaws.com/x4/"},
        "weights: https://weights.s3.amazonaws.com/x4/ is no place in S3. Write s3://BUCKET/PREFIX/: a "
        "bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, a prefix neither spaces nor "
        "wildcards.",
    ),
    Wrong(
        "weights without a slash",
        {"weights": "s3://weights/x4"},
        "weights: s3://weights/x4 is neither a prefix nor an archive. Write s3://weights/x4/ for a prefix, "
        "or the name of a .tar.gz.",
    ),
    Wrong(
        "weights with a wildcard",
        {"weights": "s3://weights/*/"},
        "weights: s3://weights/*/ is no place in S3. Write s3://BUCKET/PREFIX/: a bucket's name has 3 to 63 "
        "lower-case letters, digits, dots and hyphens, a prefix neither spaces nor wildcards.",
    ),
    Wrong(
        "a bucket in upper case",
        {"weights": "s3://Weights/x4/"},
        "weights: s3://Weights/x4/ is no place in S3. Write s3://BUCKET/PREFIX/: a bucket's name has 3 to 63 "
        "lower-case letters, digits, dots and hyphens, a prefix neither spaces nor wildcards.",
    ),
    Wrong(
        "results without a slash",
        {"output": "s3://results/here"},
        "output: s3://results/here is no prefix: it must end in a slash. Write s3://results/here/.",
        base="async",
    ),
    Wrong(
        "captured without a slash",
        {"capture": "s3://captured/a"},
        "capture: s3://captured/a is no prefix: it must end in a slash. Write s3://captured/a/.",
    ),
    Wrong(
        "subnets alone",
        {"subnets": ["subnet-0123456789abcdef0"]},
        "security_groups: `subnets` needs them. Name at least one; the stack makes none of its own.",
    ),
    Wrong(
        "groups alone",
        {"security_groups": ["sg-0123456789abcdef0"]},
        "subnets: `security_groups` needs them. Name at least one; the stack makes none of its own.",
    ),
    Wrong(
        "subnet by name",
        {"subnets": ["private"], "security_groups": ["sg-0123456789abcdef0"]},
        "subnets: private is no ID. Write such as subnet-0123456789abcdef0.",
    ),
    Wrong(
        "six groups",
        {"subnets": ["subnet-0123456789abcdef0"], "security_groups": [f"sg-0123456789abcdef{n}" for n in range(6)]},
        "security_groups: 6 are more than SageMaker's 5. Name fewer.",
    ),
    Wrong(
        "isolated and fetching",
        {"network_isolation": True, "environment": {"PIXELSERVE_S3_BUCKETS": "pictures"}},
        "network_isolation: An isolated container fetches no `url` of a request, so PIXELSERVE_S3_BUCKETS "
        "means nothing. Remove it and send images in the request; or use `subnets` in place of isolation.",
    ),
    Wrong(
        "tag of AWS",
        {"tags": {"aws:owner": "me"}},
        "tags: aws:owner is not yours to set. Begin with something other than aws: and pixelserve.",
    ),
    Wrong(
        "tag of ours",
        {"tags": {"pixelserve": "mine"}},
        "tags: pixelserve is not yours to set. Begin with something other than aws: and pixelserve.",
    ),
    Wrong(
        "tag with a bracket",
        {"tags": {"a<b": "c"}},
        "tags: 'a<b' is no tag. Write up to 128 letters, digits, spaces and _.:/=+-@, for the value 256.",
    ),
    Wrong(
        "49 tags",
        {"tags": {f"tag{n}": "" for n in range(49)}},
        "tags: 49 are more than the 48 that a resource takes beside ours.",
    ),
    Wrong(
        "variable with a hyphen",
        {"environment": {"LOG-LEVEL": "10"}},
        "environment: 'LOG-LEVEL' is no variable. Write letters, digits and _, no digit first.",
    ),
    Wrong(
        "a long variable",
        {"environment": {"NOTE": "x" * 1025}},
        "environment: NOTE has 1025 characters. SageMaker takes 1024.",
    ),
    Wrong(
        "101 variables",
        {"environment": {f"V{n}": "" for n in range(101)}},
        "environment: 101 are more than SageMaker's 100.",
    ),
    Wrong(
        "variable of Lambda",
        {"environment": {"AWS_REGION": "a"}},
        "environment: Lambda sets AWS_REGION itself. Remove it.",
        base="lambda",
    ),
    Wrong(
        "5 KB of variables",
        {"environment": {"A": "x" * 5000}},
        "environment: Together they have 5001 bytes. Lambda takes 4096.",
        base="lambda",
    ),
    Wrong(
        "type of EC2",
        {"instances": ["g4dn.xlarge"]},
        "instances: g4dn.xlarge is no type of SageMaker's. Write such as ml.g4dn.xlarge.",
    ),
    Wrong(
        "ARM",
        {"instances": ["ml.c7g.xlarge"]},
        "instances: ml.c7g.xlarge has an ARM processor, the image is for x86-64. Take such as ml.c6i.xlarge.",
    ),
    Wrong(
        "Inferentia",
        {"instances": ["ml.inf2.xlarge"]},
        "instances: ml.inf2.xlarge needs a model compiled for Neuron, which the image has not. Take ml.g4dn.xlarge.",
    ),
    Wrong(
        "async on ml.g4dn.xlarge",
        {"instances": ["ml.g4dn.xlarge"]},
        "instances: ml.g4dn.xlarge is not offered for asynchronous endpoints. The next is ml.g4dn.2xlarge: write that.",
        base="async",
    ),
    Wrong(
        "not offered",
        {"instances": ["ml.g6.xlarge"]},
        "instances: cn-northwest-1 does not offer ml.g6.xlarge. Take ml.c6i.xlarge or ml.g4dn.xlarge or "
        "ml.g4dn.2xlarge, or another region.",
        facts={"offered": OFFERED},
        region="cn-northwest-1",
    ),
    Wrong(
        "one type twice",
        {"instances": ["ml.g4dn.xlarge", "ml.g4dn.xlarge"]},
        "instances: A type is there twice. Name each once, the preferred first.",
    ),
    Wrong(
        "GPU and CPU",
        {"instances": ["ml.g4dn.xlarge", "ml.c6i.xlarge"]},
        "instances: Some have a GPU and some have none, and they share one image. Name one kind.",
    ),
    Wrong(
        "GPU AMI on CPU",
        {"ami": "al2-ami-sagemaker-inference-gpu-2"},
        "ami: ml.c6i.xlarge has no GPU, and al2-ami-sagemaker-inference-gpu-2 is for those. Remove it.",
        base="on-cpu",
    ),
    Wrong(
        "no such AMI",
        {"ami": "al2-ami-sagemaker-inference-gpu-3"},
        "ami: There is no al2-ami-sagemaker-inference-gpu-3 for GPUs. Write "
        "al2-ami-sagemaker-inference-gpu-3-1, or nothing: it is chosen by the image.",
    ),
    Wrong(
        "CPU image on GPU",
        {},
        "image: The image is for CPUs, and ml.g4dn.xlarge has a GPU. Build it with --device cuda, or take "
        "such as ml.c6i.xlarge.",
        facts={"cuda": ""},
    ),
    Wrong(
        "CUDA 13 on CUDA 12",
        {"ami": "al2-ami-sagemaker-inference-gpu-3-1"},
        "ami: al2-ami-sagemaker-inference-gpu-3-1 is for CUDA 12 (driver 550), and the image has CUDA 13.0. "
        "Write al2023-ami-sagemaker-inference-gpu-4-1, or nothing.",
        facts={"cuda": "13.0"},
    ),
    Wrong(
        "CUDA 12 on CUDA 13",
        {"ami": "al2023-ami-sagemaker-inference-gpu-4-1"},
        "ami: al2023-ami-sagemaker-inference-gpu-4-1 is for CUDA 13 (driver 580), and the image has CUDA "
        "12.9. Write al2-ami-sagemaker-inference-gpu-3-1, or nothing.",
        facts={"cuda": "12.9"},
    ),
    Wrong(
        "CUDA 11",
        {},
        "image: No machine image of SageMaker's is for CUDA 11.4. Build it with --device cuda, which takes CUDA 12.",
        facts={"cuda": "11.4"},
    ),
    Wrong(
        "real time from zero",
        {"count": 0},
        "count: A real-time endpoint has one instance at least. Write 1, or mode = 'async'.",
    ),
    Wrong("least above most", {"count": 3, "most": 2}, "most: `count` is 3, so `most` cannot be 2. Write 3 or more."),
    Wrong(
        "rolling of one",
        {"update": "rolling"},
        "update: A rolling update replaces half of the instances at most. Write count = 2 or more, or update "
        "= 'blue-green'.",
    ),
    Wrong(
        "above the quota",
        {"count": 4},
        "count: 4 x ml.g4dn.xlarge is above the quota of 2: ask for more of 'ml.g4dn.xlarge for endpoint "
        "usage' in Service Quotas, or take another type.",
        facts={"quotas": {"ml.g4dn.xlarge": 2}},
    ),
    Wrong(
        "no quota",
        {},
        "count: 1 x ml.g4dn.xlarge is above the quota of 0: ask for more of 'ml.g4dn.xlarge for endpoint "
        "usage' in Service Quotas, or take another type.",
        facts={"quotas": {"ml.g4dn.xlarge": 0}},
    ),
    Wrong(
        "scaling above the quota",
        {"most": 4},
        "most: 4 x ml.g4dn.xlarge is above the quota of 2: write 2, or ask for more of 'ml.g4dn.xlarge for "
        "endpoint usage' in Service Quotas.",
        facts={"quotas": {"ml.g4dn.xlarge": 2}},
    ),
    Wrong(
        "blue/green above the quota",
        {"count": 2, "update": "blue-green"},
        "update: Blue/green takes 4 x ml.g4dn.xlarge for some minutes, the quota is 3: write update = "
        "'rolling', or ask for more of 'ml.g4dn.xlarge for endpoint usage' in Service Quotas.",
        facts={"quotas": {"ml.g4dn.xlarge": 3}},
    ),
    Wrong(
        "blue/green of one above the quota",
        {"update": "blue-green"},
        "update: Blue/green takes 2 x ml.g4dn.xlarge for some minutes, the quota is 1: leave `update` out, "
        "or ask for more of 'ml.g4dn.xlarge for endpoint usage' in Service Quotas.",
        facts={"quotas": {"ml.g4dn.xlarge": 1}},
    ),
    Wrong(
        "rolling above the quota",
        {"count": 2, "update": "rolling"},
        "update: A rolling update takes 3 x ml.g4dn.xlarge for some minutes, the quota is 2: leave `update` out, "
        "or ask for more of 'ml.g4dn.xlarge for endpoint usage' in Service Quotas.",
        facts={"quotas": {"ml.g4dn.xlarge": 2}},
    ),
    Wrong(
        "memory of an instance",
        {"memory_mb": 4096},
        "memory_mb: Mode realtime takes no memory_mb. The memory is the instance type's. Remove it, and "
        "choose by `instances`.",
    ),
    Wrong(
        "requests at once in real time",
        {"concurrency": 4},
        "concurrency: Mode realtime takes no concurrency. The container takes what comes. Remove it; "
        "`concurrent` guides scaling.",
    ),
    Wrong(
        "results in real time",
        {"output": "s3://results/"},
        "output: Mode realtime takes no output. The answer goes to the caller. Remove it.",
    ),
    Wrong(
        "time of a function in real time",
        {"timeout_seconds": 30},
        "timeout_seconds: Mode realtime takes no timeout_seconds. SageMaker has its own times. Remove it.",
    ),
    Wrong(
        "serverless on a GPU",
        {"instances": ["ml.g4dn.xlarge"]},
        "instances: Mode serverless takes no instances. It has no instances of yours. Remove it, or write "
        "mode = 'realtime'.",
        base="serverless",
    ),
    Wrong(
        "serverless with CUDA",
        {},
        "image: Mode serverless has no GPU. Build the image without --device cuda.",
        facts={"cuda": "12.8"},
        base="serverless",
    ),
    Wrong(
        "serverless with weights by prefix",
        {"weights": "s3://weights/x4/"},
        "weights: Serverless endpoints take no uncompressed prefix. Write s3://…/model.tar.gz, which "
        "`pixelserve package` makes.",
        base="serverless",
    ),
    Wrong(
        "serverless with 5000 MB",
        {"memory_mb": 5000},
        "memory_mb: A serverless endpoint has 1024, 2048, 3072, 4096, 5120, 6144 MB, not 5000. Write one of these.",
        base="serverless",
    ),
    Wrong(
        "serverless with 8192 MB",
        {"memory_mb": 8192},
        "memory_mb: A serverless endpoint has 1024, 2048, 3072, 4096, 5120, 6144 MB, not 8192. Write one of these.",
        base="serverless",
    ),
    Wrong(
        "serverless in a VPC",
        {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]},
        "subnets: Mode serverless takes no subnets. Serverless endpoints are in no VPC. Remove them, or take "
        "another mode.\nsecurity_groups: Mode serverless takes no security_groups. Serverless endpoints are "
        "in no VPC. Remove them.",
        base="serverless",
    ),
    Wrong(
        "serverless isolated",
        {"network_isolation": True},
        "network_isolation: Mode serverless takes no network_isolation. Only models on instances are "
        "isolated. Remove it, or write mode = 'realtime'.",
        base="serverless",
    ),
    Wrong(
        "serverless captured",
        {"capture": "s3://captured/"},
        "capture: Mode serverless takes no capture. Only real-time endpoints capture data. Remove it; "
        "asynchronous results lie in S3 anyway.",
        base="serverless",
    ),
    Wrong(
        "serverless for 201",
        {"concurrency": 201},
        "concurrency: A serverless endpoint takes 200 requests at once. Write less.",
        base="serverless",
    ),
    Wrong(
        "serverless rolling",
        {"update": "rolling"},
        "update: Mode serverless takes no update. It has no instances of yours. Remove it, or write mode = 'realtime'.",
        base="serverless",
    ),
    Wrong(
        "async captured",
        {"capture": "s3://captured/"},
        "capture: Mode async takes no capture. Only real-time endpoints capture data. Remove it; "
        "asynchronous results lie in S3 anyway.",
        base="async",
    ),
    Wrong(
        "function with 20000 MB",
        {"memory_mb": 20000},
        "memory_mb: Lambda has 128 to 10240 MB, not 20000. Write one of these.",
        base="lambda",
    ),
    Wrong(
        "function with weights",
        {"weights": "s3://weights/x4/"},
        "weights: Mode lambda takes no weights. A function has the image's own. Remove it, and put them in: "
        "pixelserve build --target lambda --model-dir.",
        base="lambda",
    ),
    Wrong(
        "function with instances",
        {"count": 2},
        "count: Mode lambda takes no count. It has no instances of yours. Remove it, or write mode = 'realtime'.",
        base="lambda",
    ),
    Wrong(
        "function with CUDA",
        {},
        "image: Mode lambda has no GPU. Build the image without --device cuda.",
        facts={"cuda": "12.8"},
        base="lambda",
    ),
    Wrong(
        "no such feature",
        {"features": ["image-upscaling"]},
        "features: There is no feature image-upscaling. Features: image-super-resolution, "
        "human-image-segmentation, image-similarity. Leave it out for a handler of yours.",
    ),
    Wrong(
        "a feature twice",
        {"features": ["image-similarity", "image_similarity"], "weights": "s3://weights/x/"},
        "features: One is there twice. Name each once.",
    ),
    Wrong(
        "several from the image",
        {"features": ["image-similarity", "image-super-resolution"]},
        "weights: Several features come from S3. Write s3://BUCKET/PREFIX/ below which lies FEATURE.tar.gz "
        "for each of them, made by `pixelserve package FEATURE`.",
    ),
    Wrong(
        "several in a function",
        {"features": ["image-similarity", "image-super-resolution"]},
        "features: Mode lambda serves one. Name one, or write mode = 'realtime' for several.",
        base="lambda",
    ),
    Wrong(
        "several in pools",
        {"instances": ["ml.g4dn.xlarge", "ml.g5.xlarge"]},
        "instances: Instance pools serve one model. Name one type for several features.",
        base="several",
    ),
    Wrong(
        "several that scale",
        {"most": 2},
        "most: Scaling counts one model's requests. Write the same `count` and `most`.",
        base="several",
    ),
    Wrong(
        "end of a full bucket",
        {"ttl_hours": 8},
        "ttl_hours: A schedule cannot empty the stack's own bucket. Write output = 's3://BUCKET/PREFIX/' as well.",
        base="async",
    ),
    Wrong(
        "end without a role",
        {"ttl_hours": 8},
        "ttl_hours: With `role` the stack makes no roles. Write the ARN of one that scheduler.amazonaws.com "
        "may take on and that may delete the stack as ttl_role.",
        base="own-role",
    ),
    Wrong(
        "role of no end",
        {"ttl_role": "arn:aws:iam::123456789012:role/end"},
        "ttl_role: Nothing ends without `ttl_hours`. Write hours, or remove it.",
    ),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_wrong_spec_is_refused(wrong: Wrong) -> None:
    try:
        spec = build_spec(wrong.base, wrong.region, **wrong.fields)
        told = [str(refusal) for refusal in refuse(spec, build_facts(wrong.region, **wrong.facts))]
    except SpecError as error:
        told = list(error.sentences)
    assert "\n".join(told) == wrong.told


def test_there_are_many() -> None:
    assert len({wrong.what for wrong in WRONG}) == len(WRONG) >= 40
