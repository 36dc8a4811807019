"""Wrong command lines: what each prints and exits with. None has a traceback, and all say what to do."""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from handlers import ECHO
from told import read_told

from pixelserve_deploy import cli

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c6360000002000001"
    "00e221bc330000000049454e44ae426082"
)

WRONG: list[tuple[str, int, str]] = [
    # the command itself
    ("", 2, "name a command: up, invoke"),
    ("upp", 2, "there is no command upp; did you mean up?"),
    ("zzz", 2, "there is no command zzz; commands:"),
    ("up --prot 1", 2, "unrecognized arguments: --prot. `pixelserve up --help` explains it."),
    # up
    ("up nothing", 1, "There is no feature nothing. Features: image_super_resolution"),
    ("up ./nothing", 1, "`pixelserve new NAME` writes a handler to start from"),
    ("up s3://bucket/model.tar.gz", 1, "is not on this machine. Copy it here"),
    ("up broken.tar.gz", 1, "neither a folder nor a model.tar.gz that can be read"),
    ("up handler handler", 2, "choose another for one with NAME=FOLDER"),
    ("up a_b=handler", 1, "cannot be an endpoint's name"),
    ("up --port 70000", 2, "'70000' is no port: write 0 to 65535"),
    ("up --port=-5", 2, "'-5' is no port: write 0 to 65535"),
    ("up --port many", 2, "'many' is no port"),
    ("up --gateway-port 65536", 2, "'65536' is no port"),
    ("up handler --port TAKEN", 1, "Address already in use. Choose another with --port."),
    ("up handler --host 203.0.113.9", 1, "Choose a host of this machine, such as 127.0.0.1."),
    ("up handler --host a..b", 1, "Choose a host of this machine, such as 127.0.0.1."),
    ("up handler --no-gateway --gateway-port 1", 2, "--no-gateway leaves nothing for --gateway-port"),
    ("up handler --no-gateway --gateway-tls", 2, "--no-gateway leaves nothing"),
    ("up handler --weights nonsense", 1, "pixelserve weights list"),
    ("up handler --weights x=embedded", 2, "for one of several endpoints write NAME="),
    ("up handler --weights ./nowhere", 1, "There is no folder"),
    ("invoke handler a.png --weights a --weights b", 2, "--weights is given twice"),
    ("up image-similarity --weights u2net-human-seg", 1, "pixelserve weights fetch u2net-human-seg"),
    ("up handler --async-input x", 2, "--async-input goes with --async-output"),
    ("up broken.tar.gz --reload", 2, "broken.tar.gz is a file: unpack it, and give its folder"),
    ("up handler --async-output http://a", 1, "is no place for objects: write s3://"),
    # invoke
    ("invoke", 2, "the following arguments are required: endpoint, FILE"),
    ("invoke image-similrity photo.png", 1, "There is no feature image-similrity. Features:"),
    ("invoke image-similarity nothing.png", 1, "There is no file nothing.png."),
    ("invoke image-similarity empty.png", 1, "empty.png is empty."),
    ("invoke image-similarity photo.png -o /nowhere/a.json", 1, "there is no folder /nowhere. Make it"),
    ("invoke image-similarity photo.png -o handler", 1, "handler is a folder. Name a file in it"),
    ("invoke image-similarity photo.png -o folder.json", 1, "folder.json is a folder. Name a file in it"),
    ("invoke image-similarity photo.png -o a.xyz", 2, "name one of .png, .jpg"),
    ("invoke image-similarity photo.png -o photo.png", 2, "is the input; choose another name"),
    ("invoke image-similarity photo.png --set scale", 2, "--set scale: write KEY=VALUE"),
    ("invoke image-similarity photo.png --scale 3", 2, "argument --scale: invalid choice: 3"),
    ("invoke image-similarity photo.png --region x", 2, "go with --aws"),
    ("invoke image-similarity photo.png --weights a --aws", 2, "--weights goes with an endpoint that is started here"),
    ("invoke image-similarity photo.png --way batch", 2, "give -o FOLDER for the answers"),
    ("invoke image-similarity photo.png --json -o -", 2, "--json or -o -, not both"),
    ("invoke image-similarity photo.png --seconds 2", 2, "--seconds, --poll and --yes go with --aws"),
    ("invoke image-similarity photo.png --seconds 0", 2, "--poll and --yes go with --aws"),
    ("invoke image-similarity photo.png --yes", 2, "--seconds, --poll and --yes go with --aws"),
    ("invoke image-similarity photos -o out --poll 1", 2, "go with --aws"),
    ("invoke image-similarity photo.png --aws --yes", 2, "many files, --way or --s3"),
    ("invoke image-similarity photo.png --overwrite", 2, "go with many files: a folder, or more than two"),
    ("invoke image-similarity photo.png --concurrency 2", 2, "go with many files: a folder, or more than two"),
    ("invoke image-similarity photos -o out -v", 2, "--verbose goes with one file"),
    ("invoke image-similarity photo.png --concurrency 0", 2, "write a number of 1 or more"),
    ("invoke image-similarity photo.png photo.png --content-type image/png", 2, "--content-type goes with one file"),
    ("invoke image-similarity photos", 2, "give -o FOLDER for the answers"),
    ("invoke image-similarity photos -o photos/out", 2, "lies in photos: the answers would be sent"),
    # transform
    ("transform image-similarity photos", 2, "the following arguments are required: OUTPUT"),
    ("transform image-similarity nothing out", 1, "There is nothing in"),
    ("transform image-similarity photos photos/out", 2, "lies in the input"),
    ("transform image-similarity photos photo.png", 1, "photo.png is a file. Choose another folder."),
    ("transform image-similarity photos out --strategy MultiRecord", 2, "goes with --split-type Line"),
    ("transform handler photos out --endings", 2, "--endings: */* has none; give --accept, one of"),
    ("transform image-similarity photos out --max-payload 0", 2, "write a number of 1 or more"),
    # check
    ("check", 2, "give a handler's FOLDER, or --image IMAGE"),
    ("check handler --image x", 2, "give a handler's FOLDER, or --image IMAGE"),
    ("check handler --env A=1", 2, "--env and --start-seconds go with --image"),
    ("check --image x --start-seconds 0", 2, "--start-seconds is above 0"),
    ("check ./nothing", 1, "`pixelserve new NAME` writes one to start from."),
    ("check handler --content-type a/b", 2, "--content-type goes with --body"),
    ("check handler --body nothing.json", 1, "There is no file nothing.json."),
    # weights
    ("weights", 2, "the following arguments are required: action"),
    ("weights lost", 2, "invalid choice: 'lost'"),
    ("weights list x", 2, "list takes no names"),
    ("weights fetch", 2, "name what to fetch, as `pixelserve weights list` shows it"),
    ("weights fetch nonsense", 1, "There are no weights nonsense. Known: realesrgan-x4plus"),
    ("weights fetch u2net-human-seg --offline", 1, "nothing is fetched offline. Put https:"),
    ("weights list --offline", 2, "--offline goes with fetch"),
    ("weights list --mirror https://mirror.example", 2, "--mirror goes with fetch"),
    ("weights verify u2net-human-seg", 1, "pixelserve weights fetch u2net-human-seg"),
    ("weights tune x4.pth --to folder.json", 2, "--to goes with list, fetch and verify"),
    ("weights tune", 2, "name the files to tune"),
    ("weights fetch --to DIR nonsense", 1, "There are no weights nonsense."),  # names may stand after options
    ("weights list --recommended", 2, "--recommended goes with fetch"),
    # measure
    ("measure handler", 2, "the following arguments are required: --body"),
    ("measure handler --body nothing.json", 1, "There is no file nothing.json."),
    ("measure handler --body photo.png --clients 0", 2, "write a number of 1 or more"),
    ("measure handler --body photo.png --seconds 0", 2, "--seconds is above 0 and at most 3600"),
    ("measure handler --body photo.png -o /nowhere/a.json", 1, "there is no folder /nowhere"),
    ("measure handler --body photo.png -o a.txt", 2, "it is JSON, so name it .json"),
    ("measure handler --body photo.png --yes", 2, "--region, --profile and --yes go with --aws"),
    ("measure image-super-resolution --body photo.png --body four.json", 2, "ask for several scales: measure each"),
    ("measure nothing --body photo.png", 1, "There is no feature nothing."),
    # new, cost
    ("new", 2, "the following arguments are required"),
    ("cost", 2, "the following arguments are required: ACTION"),
    ("cost guess", 2, "invalid choice: 'guess'"),
    ("cost estimate -o bill.xls", 2, "name it .json, .csv, .md, .html"),
    ("cost estimate --price gold", 2, "'gold' is no price: write NAME=AMOUNT"),
    ("cost estimate --requests lots", 2, "'lots' is no number: write 1000000"),
    ("cost from-benchmark nothing.json --instance ml.c6i.xlarge", 1, "Cannot read nothing.json"),
    ("cost simulate --trace nothing.csv", 1, "Cannot read nothing.csv"),
    ("cost diff a.json b.json", 1, "a.json is no bill"),
]  # fmt: skip
"""Command line, exit code, and what the message says; TAKEN is a port that another process has."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the command lines."""
    (tmp_path / "handler").mkdir()
    (tmp_path / "handler" / "inference.py").write_text(textwrap.dedent(ECHO))
    (tmp_path / "photos").mkdir()
    (tmp_path / "folder.json").mkdir()
    for name in ("photo.png", "photos/photo.png"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "four.json").write_text('{"scale": 4}')
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIXELSERVE_WEIGHTS")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def end_of(words: list[str]) -> int:
    try:
        return cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("line", "code", "told"), WRONG)
def test_a_wrong_command_line_is_told_in_a_line_or_two(line, code, told, taken, capsys) -> None:
    assert end_of(line.replace("TAKEN", str(taken)).split()) == code
    printed = capsys.readouterr()
    assert told in (printed.out if "--json" in line else printed.err)
    assert "Traceback" not in printed.err
    assert "usage: pixelserve " not in printed.err or line in ("", "upp", "zzz")


def test_the_table_is_long_enough() -> None:
    assert len({line for line, _, _ in WRONG}) == len(WRONG) >= 60


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [row for row in WRONG if row[0].partition(" ")[0] in cli.AS_JSON and "json -o -" not in row[0]],
)
def test_with_json_a_failure_is_json_and_told_once(line, code, told, taken, capsys) -> None:
    assert end_of([*line.replace("TAKEN", str(taken)).split(), "--json"]) == code
    printed = capsys.readouterr()
    if line == "weights verify u2net-human-seg":  # what is wrong with each of many is a result
        return
    failure = read_told(printed.out, "error")
    assert told in failure["error"]["message"]
    assert (failure["error"]["code"] == "usage") is (code == 2)
    assert told not in printed.err


def test_a_state_folder_that_cannot_be_written_is_told(folder, monkeypatch, capsys) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(folder / "file" / "state"))
    assert end_of(["up", "handler"]) == 1
    assert "Set PIXELSERVE_STATE_DIR to a folder of your own." in capsys.readouterr().err


def test_what_the_system_refuses_is_told_without_a_traceback(folder, capsys) -> None:
    assert end_of(["new", "x" * 300]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_what_weights_print_is_in_their_schema(capsys) -> None:
    for words in (["list"], ["verify"]):
        assert end_of(["weights", *words, "--json"]) == 0
        read_told(capsys.readouterr().out, "weights")
    assert end_of(["weights", "verify", "u2net-human-seg", "--json"]) == 1
    told = read_told(capsys.readouterr().out, "weights")
    assert told["weights"][0]["error"]


@pytest.mark.usefixtures("folder")
def test_what_check_prints_is_in_its_schema(capsys) -> None:
    assert end_of(["check", "handler", "--json"]) == 0
    told = read_told(capsys.readouterr().out, "check")
    assert (told["checked"], told["problems"]) == ("handler", 0)
