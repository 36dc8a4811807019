"""The command lines of deploying: what is said without credentials, by doctor, ls, sweep and logs, and the policies."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from scripted import ACCOUNT, REGION, Scripted, Story, error
from servers import ROOT

from pixelserve.errors import BadRequest
from pixelserve_deploy import cli
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.policies import CALLS, make_policies
from pixelserve_deploy.deployment.reading import make_spec
from pixelserve_deploy.deployment.templates import build_template

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/pixelserve:1"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
FILE = f"""\
[endpoints.upscaler]
image = "{IMAGE}"
region = "{REGION}"
most = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pixelserve.toml, where nothing knows credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixelserve.toml").write_text(FILE)
    return tmp_path


def check_page(printed: str) -> None:
    """What the documents show is what is printed."""
    assert printed in (ROOT / "docs" / "deploy.md").read_text()


def test_without_credentials_a_plan_says_what_would_be_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy", "--plan"]) == 10
    printed = capsys.readouterr().out
    assert "Planned without AWS, as if nothing were there: no credentials were found.\n" in printed
    assert "  +   EndpointConfig  SageMaker::EndpointConfig\n" in printed
    assert "at most $2.209 an hour, $1,612.72 a month\n" in printed


def test_a_new_image_replaces_model_and_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "main.toml").write_text(FILE)
    words = ["deploy", "upscaler", "--plan", "--against", "main.toml"]
    assert cli.main(words) == 0
    assert "Nothing changes.\nCost: $0.736 an hour" in capsys.readouterr().out
    assert cli.main([*words, "--image", IMAGE.replace(":1", ":2")]) == 10
    printed = capsys.readouterr().out
    assert printed.splitlines()[2:6] == [
        "  +/- Model           SageMaker::Model: PrimaryContainer",
        "  +/- EndpointConfig  SageMaker::EndpointConfig: ProductionVariants: Model is replaced",
        "  ~   Endpoint        SageMaker::Endpoint: EndpointConfigName: EndpointConfig is replaced",
        "1 to modify, 2 to replace.",
    ]
    check_page(printed)
    assert cli.main([*words, "--json", "--most", "2"]) == 10
    end = json.loads(capsys.readouterr().out)
    assert (end["status"], end["cost_before"]["hour_at_most"], end["cost_after"]["hour_at_most"]) == (
        "changes",
        "2.2092",
        "1.4728",
    )
    (folder / "pixelserve.toml").write_text(FILE.replace("most = 3", 'mode = "serverless"'))
    assert cli.main(words) == 3
    assert "cannot become serverless in place" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["deploy", "upscaler"],
            3,
            "GetCallerIdentity: Unable to locate credentials. Give --profile NAME, or run `aws",
        ),
        (["ls", "--region", REGION], 1, "DescribeStacks: Unable to locate credentials. Give --profile NAME"),
        (["deploy", "--against", "x"], 2, "--against goes with --plan"),
        (["deploy", "--plan", "--against", "nowhere.toml"], 3, "Cannot read nowhere.toml"),
        (["deploy", "Upper", "--image", IMAGE], 3, "Write lower-case letters, digits and single hyphens"),
        (["deploy", "--count", "one"], 3, "count: 'one' does not fit"),
        (["deploy", "--tags", "team"], 2, "--tags team: write KEY=VALUE"),
        (["deploy", "--ttl", "8"], 2, "'8' is no duration: write 90m, 24h or 7d"),
        (
            ["deploy", "--plan", "--mode", "async", "--instances", "ml.g4dn.xlarge"],
            3,
            "ml.g4dn.xlarge is not offered for asynchronous endpoints",
        ),
        (["deploy", "--profile", "nobody"], 3, "The config profile (nobody) could not be found"),
        (["deploy", "new"], 3, "pixelserve.toml has no [endpoints.new]. Write one, or give --image."),
        (
            ["deploy", "-f", "nowhere.toml"],
            3,
            "pixelserve deploy: refused; nothing was changed.\n  cause:     Cannot read",
        ),
        (["deploy", "--ttl", "1m"], 3, "ttl_hours: 0.016666666666666666 does not fit. Write half an hour to a year"),
        (
            ["batch", "upscaler", "in", "out"],
            2,
            "out: AWS writes to s3://BUCKET/PREFIX/; --local works on this machine",
        ),
        (["stack", "render", "--gateway-image", IMAGE], 1, "Give --lambda-image for functions, --image for endpoints."),
        (["deploy", "--print-policy", "pixelserve"], 1, "pixelserve is no repository: write OWNER/NAME"),
        (["ls"], 1, "No region is given or configured. Give --region"),
    ],
)
def test_wrong_command_lines(
    words: list[str], code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended = cli.main(words)
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == code
    assert said in capsys.readouterr().err


def test_a_misspelt_instance_type_is_asked_about_and_priced_by_nobody(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["deploy", "--plan", "--instances", "ml.g4dn.xlage"]) == 10
    printed = capsys.readouterr().out
    question = "No price is known of ml.g4dn.xlage in us-east-2. Did you mean ml.g4dn.xlarge?"
    assert f"Cost then: unknown\n  {question}\n" in printed
    assert printed.count("No price") == 1


def test_doctor_looks_at_what_it_can_without_credentials(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--count", "4"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed  credentials  GetCallerIdentity: Unable to locate credentials. Give --profile")
    assert lines[1].startswith("failed  most         ")


@pytest.fixture
def aws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    script = Scripted(monkeypatch)
    script.answer("sts", "GetCallerIdentity", {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"})
    return script


def test_doctor_says_what_is_wrong_and_how_to_mend_it(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    index = "application/vnd.oci.image.index.v1+json"
    image = {
        "imageId": {"imageDigest": "sha256:" + "a" * 64},
        "imageManifest": json.dumps({"manifests": []}),
        "imageManifestMediaType": index,
    }
    aws.answer("ecr", "BatchGetImage", {"images": [image]})
    quotas = [{"QuotaName": "ml.g4dn.xlarge for endpoint usage", "Value": 0.0}, {"QuotaName": "else", "Value": 1.0}]
    aws.answer("service-quotas", "ListServiceQuotas", {"Quotas": quotas[1:], "NextToken": "2"}, {"Quotas": quotas[:1]})
    aws.answer("s3", "ListObjectsV2", {"KeyCount": 0})
    assert cli.main(["doctor", "--weights", "s3://bucket/weights/"]) == 3
    printed = capsys.readouterr().out
    check_page(printed)
    lines = printed.splitlines()
    assert lines[0] == f"ok      credentials  arn:aws:iam::{ACCOUNT}:user/me in us-east-2."
    assert lines[1].startswith(
        f"failed  image        its manifest is {index}, which SageMaker and Lambda refuse. Build"
    )
    assert lines[2] == "ok      offer        ml.g4dn.xlarge in us-east-2 by our prices."
    assert (
        "ml.g4dn.xlarge for endpoint usage: 0, and 3 may be needed. Ask for 3 or more at https://us-east-2" in lines[3]
    )
    assert lines[4].startswith("failed  weights      nothing is at s3://bucket/weights/. `pixelserve package`")


def test_what_may_not_be_looked_at_is_a_warning(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    denied = error("AccessDeniedException", "User: me is not authorized to perform: ecr:BatchGetImage")
    aws.answer("ecr", "BatchGetImage", denied)
    aws.answer("service-quotas", "ListServiceQuotas", denied)
    assert cli.main(["doctor", "--json"]) == 0
    checks = {check["what"]: check for check in json.loads(capsys.readouterr().out)}
    assert {what: check["verdict"] for what, check in checks.items()} == {
        "credentials": "ok",
        "image": "warning",
        "offer": "ok",
        "quota": "warning",
        "template": "ok",
    }
    assert checks["image"]["fix"] == "Allow the call, or leave it: deploying may work all the same."


@pytest.fixture
def fleet(aws: Scripted) -> datetime:
    """Ours, called an hour ago; ours, forgotten; another's, of an unknown price; and now."""
    now = datetime.now(UTC)
    made = now - timedelta(days=20)
    stacks = [
        {
            "StackName": f"pixelserve-{name}",
            "StackStatus": "CREATE_COMPLETE",
            "CreationTime": made,
            "Tags": [{"Key": "pixelserve", "Value": name}] if name in ("busy", "forgotten") else [],
        }
        for name in ("busy", "forgotten", "network", "theirs")
    ]
    stacks.append({**stacks[0], "StackName": "other"})
    aws.answer("cloudformation", "DescribeStacks", {"Stacks": stacks})
    machines = {
        "busy": "ml.g4dn.xlarge",
        "forgotten": "ml.g5.xlarge",
        "theirs": "ml.g4dn.2xlarge",
        "odd": "ml.m5.large",
    }
    summaries, endpoints, configs = [], [], []
    for name, machine in machines.items():
        dates = {"CreationTime": made, "LastModifiedTime": made}
        summaries.append(
            {"EndpointName": name, "EndpointArn": f"{ARN}:endpoint/{name}", "EndpointStatus": "InService", **dates}
        )
        variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": 2 if name == "busy" else 1}
        endpoints.append({**summaries[-1], "EndpointConfigName": f"{name}-config", "ProductionVariants": [variant]})
        configured = {"VariantName": "AllTraffic", "InstanceType": machine}
        configs.append(
            {
                "EndpointConfigName": f"{name}-config",
                "EndpointConfigArn": f"{ARN}:endpoint-config/{name}",
                "CreationTime": made,
                "ProductionVariants": [configured],
            }
        )
    aws.answer(
        "sagemaker", "ListEndpoints", {"Endpoints": summaries[:2], "NextToken": "2"}, {"Endpoints": summaries[2:]}
    )
    aws.answer("sagemaker", "DescribeEndpoint", *endpoints)
    aws.answer("sagemaker", "DescribeEndpointConfig", *configs)
    hour = now - timedelta(hours=1)
    results = [{"Id": "q0", "Timestamps": [hour, hour - timedelta(hours=4)], "Values": [7.0, 3.0]}]
    results.append({"Id": "q1", "Timestamps": [hour], "Values": [0.0]})
    aws.answer("cloudwatch", "GetMetricData", {"MetricDataResults": results})
    return now


def test_ls_shows_what_runs_and_costs(aws: Scripted, fleet: datetime, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ls", "--cost", "--region", REGION]) == 0
    printed = capsys.readouterr().out
    check_page(printed)
    assert printed.splitlines() == [
        "NAME       MADE BY     MODE      STATUS     MACHINES             AN HOUR  A MONTH    LAST CALL",
        "busy       pixelserve  realtime  InService  2 x ml.g4dn.xlarge   $1.473   $1,075.14  60 min ago",
        "forgotten  pixelserve  realtime  InService  1 x ml.g5.xlarge     $1.408   $1,028.13  none in 15 days",
        "odd        others      realtime  InService  1 x ml.m5.large      unknown  unknown    none in 15 days",
        "theirs     others      realtime  InService  1 x ml.g4dn.2xlarge  $0.940   $686.20    none in 15 days",
        "In all $3.821 an hour, $2,789.48 a month. Without 1 of unknown price.",
    ]


def test_sweep_never_touches_what_others_made(
    aws: Scripted, fleet: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Story("pixelserve-forgotten")
    aws.answer("cloudformation", "DescribeStacks", stack.described("CREATE_COMPLETE"))
    resource = {"LogicalResourceId": "Bucket", "ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": "kept",
                "LastUpdatedTimestamp": fleet, "ResourceStatus": "CREATE_COMPLETE"}  # fmt: skip
    aws.answer("cloudformation", "ListStackResources", {"StackResourceSummaries": [resource]})
    aws.answer("resourcegroupstaggingapi", "GetResources", {"ResourceTagMappingList": []})
    aws.answer("logs", "DescribeLogGroups", {"logGroups": []})
    aws.answer("s3", "ListObjectVersions", {"Versions": [{"Key": "1.out", "VersionId": "null"}]})
    assert cli.main(["sweep", "--idle", "24h", "--older-than", "7d", "--region", REGION]) == 1
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[1:4]] == ["forgotten", "odd", "theirs"]
    assert "Those made by others stay" in printed.out
    table, counted, _ = printed.out.partition("1 objects in the bucket kept of forgotten\n")
    assert counted
    check_page(table)
    assert "Remove forgotten with every trace? Nobody is there to answer" in printed.err
    assert not aws.count("DeleteStack")


def test_sweep_looks_for_calls_as_far_back_as_it_is_asked(
    aws: Scripted, fleet: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", "--idle", "30d", "--dry-run", "--region", REGION]) == 0
    (asked,) = aws.find("GetMetricData")
    assert asked["EndTime"] - asked["StartTime"] == timedelta(days=30)
    with pytest.raises(SystemExit) as end:
        cli.main(["sweep", "--idle", "456d", "--region", REGION])
    assert end.value.code == 2
    assert "--idle is 455d at most: CloudWatch knows of no calls before that" in capsys.readouterr().err


def test_sweep_leaves_what_is_young_or_in_use(
    aws: Scripted, fleet: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", "--older-than", "30d", "--region", REGION]) == 0
    assert capsys.readouterr().out == "Every endpoint in us-east-2 is in use, or younger than you asked for.\n"


def test_logs_are_read_in_order_and_once(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [
        {"logGroupName": name, "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}
        for name in ("/aws/sagemaker/Endpoints/upscaler", "/aws/lambda/upscaler-2")
    ]
    aws.answer("logs", "DescribeLogGroups", {"logGroups": groups[:1]}, {"logGroups": groups[1:]})
    now = int(1000 * datetime.now(UTC).timestamp())
    lines = ['{"level": "INFO", "message": "ready"}', "Traceback\x1b[2J", '{"level": "ERROR", "message": "no"}']
    events = [
        {"eventId": str(number), "timestamp": now + number, "logStreamName": "AllTraffic/i-1", "message": line}
        for number, line in enumerate(lines)
    ]
    aws.answer("logs", "FilterLogEvents", {"events": events[1:], "nextToken": "2"}, {"events": events[:2]})
    assert cli.main(["logs", "upscaler", "--region", REGION, "--since", "15m"]) == 0
    printed = [line[15:] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["ready", "Traceback\\x1b[2J", "no"]
    (first, _) = aws.find("FilterLogEvents")
    assert abs(first["startTime"] - (now - 15 * 60_000)) < 10_000


@pytest.mark.parametrize(
    "fields",
    [
        {"most": 3, "ttl_hours": 8},
        {"mode": "async", "instances": ["ml.g4dn.2xlarge"], "most": 2},
        {"mode": "serverless"},
        {"mode": "lambda"},
    ],
)
def test_the_policies_hold_what_cloudformation_calls(fields: dict[str, Any]) -> None:
    """By the handlers in its schemas; those of buckets, functions and targets list calls for what we never set."""
    spec = make_spec({"name": "upscaler", "image": IMAGE, **fields})
    policies = make_policies(spec, "owner/name")
    allowed = {action for found in policies["deploy"]["permissions"]["Statement"] for action in found["Action"]}
    wide = {"AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::ApplicationAutoScaling::ScalableTarget"}
    unset = {"kms:DescribeKey", "iam:GetRole", "cloudwatch:GetMetricData", "sns:Subscribe", "sns:Unsubscribe",
             "sns:PutDataProtectionPolicy", "iam:AttachRolePolicy",
             "iam:DeleteRolePermissionsBoundary"}  # fmt: skip
    template = build_template(spec, Facts(region=REGION))
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert kinds <= set(CALLS)
    for kind in kinds - wide:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema["handlers"]
        needed = {call for name, one in handlers.items() if name != "list" for call in one["permissions"]}
        assert needed - unset <= allowed, kind
    assert not any(action.endswith(":*") for action in allowed)


def test_the_policies_are_for_one_repository_and_one_endpoint() -> None:
    spec = make_spec({"name": "upscaler", "image": IMAGE.replace(".com/", ".com.cn/").replace(REGION, "cn-north-1")})
    policies = make_policies(spec, "owner@12/name@34")
    (trust,) = policies["deploy"]["trust"]["Statement"]
    assert trust["Principal"]["Federated"].startswith(f"arn:aws-cn:iam::{ACCOUNT}:oidc-provider/")
    assert trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:owner/name:environment:production",
        "repo:owner@12/name@34:environment:production",
    ]
    planning = {action for found in policies["plan"]["permissions"]["Statement"] for action in found["Action"]}
    assert not {action for action in planning if "Execute" in action or "DeleteStack" in action}
    stacks = f"arn:aws-cn:cloudformation:cn-north-1:{ACCOUNT}:stack/pixelserve-upscaler/*"
    assert policies["plan"]["permissions"]["Statement"][-1]["Resource"] == stacks


class Busy(http.server.BaseHTTPRequestHandler):
    """STS that is throttled so many times, then answers; or a proxy's page."""

    protocol_version = "HTTP/1.1"
    throttled: ClassVar[int] = 2
    asked: ClassVar[int] = 0
    page: ClassVar[bytes] = b""

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        name = "GetCallerIdentity"
        status, body = (
            200,
            f"<{name}Response><{name}Result><Account>1</Account></{name}Result></{name}Response>".encode(),
        )
        if self.page:
            status, body = 403, self.page
        elif self.asked <= self.throttled:
            status = 400
            body = (
                b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
            )
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Busy]]:
    class Server(Busy):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield Server
        server.shutdown()


def test_a_call_that_is_throttled_is_tried_again(busy: type[Busy]) -> None:
    assert Session(REGION).client("sts").get_caller_identity()["Account"] == "1"
    assert busy.asked == 3


def test_a_proxys_page_is_an_error_and_no_traceback(busy: type[Busy]) -> None:
    busy.page = b"<!doctype html><p>Please log in"
    with pytest.raises(AwsError, match=r"GetCallerIdentity: Unable to parse response"):
        Session(REGION).client("sts").get_caller_identity()


def test_a_session_needs_a_region_and_a_profile_that_is_there(folder: Path) -> None:
    with pytest.raises(BadRequest, match=r"No region is given or configured"):
        Session()
    with pytest.raises(BadRequest, match=r"nobody.*aws configure list-profiles"):
        Session(REGION, "nobody")
