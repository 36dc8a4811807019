"""The documents' own samples of AI Solution Kit's API, taken from the documents when the test runs, against a gateway.

Only what a reader has to fill in is replaced, by the lines of a table, each of which must occur.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gateway_servers import Gateway, Pictures
from servers import ROOT

SEEDS = Path(os.environ.get("PIXELSERVE_DOCUMENTS", ROOT.parent / "shared" / "spec" / "seeds"))
PATHS = ("image_super_resolution", "human_image_segmentation", "image_similarity")
JARS = [Path(f"/usr/share/java/{name}.jar") for name in ("okhttp", "okio")]
IMAGE = "图像的URL地址"
ADDRESSES = (IMAGE, r"\{\{page\.meta\.sample_image\}\}")
IMAGES = ("Base64编码的图像数据", r"/9j/[^\"]*……")
"""Patterns of what stands for an image in the documents' bodies."""
HOST = "[API_ID].execute-api.[AWS_REGION].amazonaws.com"
JAVA_HOST = "xxxxxxxxxxx.execute-api.xxxxxxxxx.amazonaws.com"
JAVA_CLASS = """
import okhttp3.*;

public class Sample {{
    public static void main(String[] arguments) throws Exception {{
{sample}
        System.out.print(response.body().string());
        client.dispatcher().executorService().shutdown();
        client.connectionPool().evictAll();
    }}
}}
"""


@pytest.fixture(scope="session")
def document() -> str:
    """The document of image similarity, which has the samples of all features."""
    found = sorted(SEEDS.glob("002_*.txt"))
    if not found:
        pytest.skip("the documents are not here: their samples cannot be run")
    return found[0].read_text()


@pytest.fixture(scope="session")
def bodies() -> list[tuple[str, str]]:
    """Path and JSON of each request body that the documents show."""
    found = []
    for number, path in enumerate(PATHS):
        for file in SEEDS.glob(f"{number:03}_*.txt"):
            text = file.read_text()
            blocks = re.findall(r"^\{\n(?:.*\n)*?\}$", text, re.MULTILINE)
            found += [(path, block) for block in blocks if re.search(r'"(url|img)', block)]
    if not found:
        pytest.skip("the documents are not here: their bodies cannot be sent")
    return found


def section(document: str, title: str, end: str) -> str:
    """The lines between two lines."""
    found = re.search(rf"^{re.escape(title)}\n(.*?)^{re.escape(end)}$", document, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def filled(sample: str, table: dict[str, str]) -> str:
    """The sample with each line of the table replaced."""
    for old, new in table.items():
        assert old in sample, f"{old} is not in the sample"
        sample = sample.replace(old, new)
    assert "[" not in re.sub(r"\[\]|\[[\d.]", "", sample), sample
    return sample


def table(gateway: Gateway, pictures: Pictures, path: str, host: str = HOST) -> dict[str, str]:
    """What a reader fills in. The path is that of the API that is called: the samples are the same for all."""
    return {
        f"https://{host}": gateway.url,
        "[STAGE]": "prod",
        "text_similarity": path,
        IMAGE: f"{pictures.url}/photo.png",
    }


def check_answer(path: str, printed: str) -> None:
    answer = eval(printed, {"__builtins__": {}}) if printed.startswith("{'") else json.loads(printed)  # noqa: S307
    assert answer.keys() == {"result"}
    if path == "image_similarity" or path == "text_similarity":
        assert len(answer["result"]) == 512
    else:
        assert base64.b64decode(answer["result"]).startswith(b"\x89PNG")


def run_python(folder: Path, sample: str) -> str:
    file = folder / "sample.py"
    file.write_text(sample)
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PYTHONWARNINGS": "ignore",
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("path", [*PATHS, "text_similarity"])
def test_python_without_auth(document: str, gateway: Gateway, pictures: Pictures, tmp_path: Path, path: str) -> None:
    sample = section(document, "Python(NONE认证)", "Java")
    check_answer(path, run_python(tmp_path, filled(sample, table(gateway, pictures, path))))


@pytest.mark.parametrize("path", [*PATHS, "text_similarity"])
def test_python_with_iam(document: str, gateway: Gateway, pictures: Pictures, tmp_path: Path, path: str) -> None:
    sample = section(document, "Python(AWS_IAM认证)", "Python(NONE认证)")
    named = {**table(gateway, pictures, path), HOST: gateway.url.removeprefix("http://"), "[AWS_REGION]": "us-east-1"}
    check_answer(path, run_python(tmp_path, filled(sample, named)))


@pytest.mark.parametrize("path", [*PATHS, "text_similarity"])
def test_curl_of_linux(document: str, gateway: Gateway, pictures: Pictures, tmp_path: Path, path: str) -> None:
    sample = section(document, "- Linux/MacOS", "Python(AWS_IAM认证)")
    script = filled(sample, table(gateway, pictures, path))
    ran = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    check_answer(path, ran.stdout)


def test_curl_of_windows_is_the_same_request(document: str, gateway: Gateway, pictures: Pictures) -> None:
    windows, linux = (
        section(document, "- Windows", "- Linux/MacOS"),
        section(document, "- Linux/MacOS", "Python(AWS_IAM认证)"),
    )
    names = table(gateway, pictures, "image_similarity")
    requests = [
        curl_request(shlex.split(filled(windows, names).replace("^\n", " "))),
        curl_request(shlex.split(filled(linux, names).replace("\\\n", " "))),
    ]
    assert requests[0] == requests[1]
    method, url, headers, data = requests[0]
    answer = httpx.request(method, url, headers=headers, json=data, trust_env=False, timeout=60)
    check_answer("image_similarity", answer.text)


def curl_request(words: list[str]) -> tuple[str, str, dict[str, str], object]:
    """Method, URL, headers and JSON that a cURL command sends. In double quotes of cmd.exe, \\" is a quote too."""
    options = dict(itertools.pairwise(words))
    url = next(word for word in words if word.startswith("http"))
    name, _, value = options["--header"].partition(": ")
    assert words[0] == "curl"
    return options["--request"], url, {name: value}, json.loads(options["--data-raw"])


@pytest.mark.parametrize("path", [*PATHS, "text_similarity"])
def test_java(document: str, gateway: Gateway, pictures: Pictures, tmp_path: Path, path: str) -> None:
    if not all(jar.is_file() for jar in JARS):
        pytest.skip("OkHttp is not here: install Debian's libokhttp-java")
    sample = section(document, "Java", "成本预估")
    sample = filled(sample, table(gateway, pictures, path, JAVA_HOST))
    (tmp_path / "Sample.java").write_text(JAVA_CLASS.format(sample=sample))
    paths = ":".join(map(str, [*JARS, tmp_path]))
    for command in (
        ["javac", "-cp", paths, "Sample.java"],
        ["java", "-cp", paths, "Sample"],
    ):
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert ran.returncode == 0, ran.stderr
    check_answer(path, ran.stdout)


def test_every_body_of_the_documents(bodies: list[tuple[str, str]], client: httpx.Client, pictures: Pictures) -> None:
    names = dict.fromkeys(IMAGES, base64.b64encode(pictures.files["/photo.png"]).decode())
    names |= dict.fromkeys(ADDRESSES, f"{pictures.url}/photo.png")
    assert len(bodies) >= 8
    assert all(any(re.search(name, body) for _, body in bodies) for name in names)
    for path, body in bodies:
        given = functools.reduce(lambda text, name: re.sub(name, names[name], text), names, body)
        answer = client.post(f"/prod/{path}", content=given.encode())
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == ({"similarity"} if "_1" in body else {"result"})
