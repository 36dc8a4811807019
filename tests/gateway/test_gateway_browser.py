"""Explorer and playground as a reader uses them: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gateway_servers import Gateway, gateway_running, png
from numpy.typing import NDArray
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Route,
    expect,
    sync_playwright,
)
from servers import wait_for
from skimage import data

from pixelserve.features import FEATURES
from pixelserve.local import LocalRuntime
from pixelserve_gateway.dialects import native

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
THEMES = ("light", "dark")
LARGE = png(1_000, 1_400)
"""Its answer is large enough to be a job's."""
WATCH = """() => {
  window.told = [];
  const status = document.querySelector("#status");
  const note = () => told.push(status.textContent);
  new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
}"""
"""Keeps each text of the status."""
DROP = """([target, name, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  for (const type of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
"""Drops a file on an element."""
KILOBYTES = """(bytes) => new Intl.NumberFormat("en", { style: "unit", unit: "kilobyte", maximumSignificantDigits: 3 })
  .format(bytes / 1e3)"""
Open = Callable[..., Page]
Guarded = Callable[[str], Gateway]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Of this module alone: while it runs, its thread counts as one with an event loop."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--force-color-profile=srgb"]
    with playwright.chromium.launch(executable_path=CHROMIUM, args=arguments) as launched:
        yield launched


@pytest.fixture
def open_page(browser: Browser, gateway: Gateway) -> Iterator[Open]:
    """Opens a path of the gateway, or of another `base`. No request may leave that host, and no script may fail."""
    asked: list[str] = []
    complaints: list[str] = []
    contexts: list[BrowserContext] = []
    hosts = {gateway.url}

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    def open_it(path: str = "/", base: str = gateway.url, **options: object) -> Page:
        hosts.add(base)
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-US", **options})
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(base + path)
        expect(page.locator("#language")).not_to_be_empty()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith((*hosts, "blob:", "data:"))] == []
    assert complaints == []


@pytest.fixture(scope="module")
def person() -> bytes:
    """A photograph of a person that is free of rights, small."""
    return cv2.imencode(".png", cv2.resize(data.astronaut()[..., ::-1], (160, 160), interpolation=cv2.INTER_AREA))[
        1
    ].tobytes()


def decode(file: bytes) -> NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


def choose(page: Page, feature: str) -> None:
    page.locator(f"input[value={feature}]").check()


def take(page: Page, index: int, file: bytes, name: str = "photo.png") -> None:
    page.locator(f"#file-{index}").set_input_files({"name": name, "mimeType": "image/png", "buffer": file})
    expect(page.locator(f'.drop[data-index="{index}"] .told')).to_contain_text(name)


def run(page: Page, shown: str = "#picture") -> None:
    page.locator("#run").click()
    expect(page.locator(shown)).to_be_visible(timeout=60_000)


def move(page: Page, value: int) -> None:
    page.locator("#slider").fill(str(value))


def drawn(page: Page) -> NDArray[np.uint8]:
    """The pixels of before and after as the screen has them."""
    page.locator(".layers").scroll_into_view_if_needed()
    box = page.locator(".layers").bounding_box()
    assert box is not None
    whole = {name: round(value) for name, value in box.items()}  # a picture is drawn at whole pixels
    return decode(page.screenshot(clip=whole))[..., :3]


def test_a_dropped_picture_is_enlarged_and_compared_by_the_slider(open_page: Open, client: httpx.Client) -> None:
    photo = png(60, 80)
    page = open_page()
    expect(page.locator("#run")).to_be_disabled()
    target = page.locator('.drop[data-index="0"] .target').element_handle()
    page.evaluate(DROP, [target, "dropped.png", base64.b64encode(photo).decode()])
    expect(page.locator(".told").first).to_have_text(
        "dropped.png (80 × 60, " + page.evaluate(KILOBYTES, len(photo)) + ")"
    )
    page.locator("#size").select_option("scale=4")
    page.locator("#format").select_option("png")
    run(page)
    expect(page.locator("#status")).to_contain_text("Done in")
    expect(page.locator("#facts")).to_contain_text("320 × 240 pixels")
    answer = client.post(
        "/v1/super-resolution?scale=4", content=photo, headers={"Content-Type": "image/png", "Accept": "image/png"}
    )
    after = decode(answer.content)
    before = cv2.resize(decode(photo), (320, 240), interpolation=cv2.INTER_LINEAR)

    page.locator("#slider").focus()
    page.keyboard.press("Home")
    np.testing.assert_array_equal(drawn(page), after)
    page.keyboard.press("End")
    old = drawn(page).astype(int)
    assert np.abs(old - before).mean() < 2 < np.abs(old - after).mean()
    move(page, 50)
    half = drawn(page)
    np.testing.assert_array_equal(half[:, 164:], after[:, 164:])
    np.testing.assert_array_equal(half[:, :156], old[:, :156])

    box = page.locator(".layers").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 160, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 50)
    page.mouse.up()
    expect(page.locator("#slider")).to_have_value("25")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "answer.png"
    assert Path(download.value.path()).read_bytes() == answer.content


def test_people_are_cut_out_on_a_checkerboard(open_page: Open, client: httpx.Client, person: bytes) -> None:
    page = open_page()
    choose(page, "human_image_segmentation")
    take(page, 0, person)
    run(page)
    move(page, 0)
    answer = client.post(
        "/v1/segmentation?type=foreground", content=person, headers={"Content-Type": "image/png", "Accept": "image/png"}
    )
    cut = decode(answer.content)
    alpha, shown = cut[..., 3], drawn(page)
    assert (alpha == 0).sum() > 1_000
    assert (alpha == 255).sum() > 1_000
    np.testing.assert_array_equal(shown[alpha == 255], cut[..., :3][alpha == 255])
    squares = {tuple(pixel) for pixel in np.unique(shown[:48, :48][alpha[:48, :48] == 0], axis=0)}
    assert {(200, 200, 200), (255, 255, 255)} <= squares
    page.locator("#cut").select_option("")
    run(page)
    move(page, 0)
    grey = client.post("/v1/segmentation", content=person, headers={"Content-Type": "image/png", "Accept": "image/png"})
    np.testing.assert_array_equal(drawn(page)[..., 0], decode(grey.content))


def test_two_pictures_are_compared(open_page: Open, client: httpx.Client, person: bytes) -> None:
    other = png(60, 80)
    page = open_page()
    choose(page, "image_similarity")
    take(page, 0, person)
    expect(page.locator("#run")).to_be_disabled()
    take(page, 1, other, "other.png")
    run(page, "#alike")
    files = {"image_1": person, "image_2": other}
    answer = client.post("/v1/similarity", files=files).json()
    expect(page.locator("#similarity")).to_have_text(f"{100 * answer['similarity']:.1f} % alike")
    assert page.locator("meter").evaluate("(meter) => meter.value") == pytest.approx(answer["similarity"], abs=1e-5)
    expect(page.locator("#cosine")).to_contain_text(f"{answer['cosine']:.4f}")
    expect(page.locator("#picture")).to_be_hidden()


def test_the_samples_make_the_same_request(open_page: Open, client: httpx.Client, tmp_path: Path) -> None:
    photo, name = png(24, 32), 'it\'s "mine".png'
    (tmp_path / name).write_bytes(photo)
    page = open_page()
    take(page, 0, photo, name)
    page.locator("#quality").fill("70")
    headers = {"Content-Type": "image/png", "Accept": "image/webp"}
    answer = client.post("/v1/super-resolution?scale=2&quality=70", content=photo, headers=headers).content

    subprocess.run(["bash", "-c", sample(page, "cURL")], cwd=tmp_path, check=True)
    assert (tmp_path / "answer.webp").read_bytes() == answer
    (tmp_path / "answer.webp").unlink()
    subprocess.run([sys.executable, "-c", sample(page, "Python")], cwd=tmp_path, check=True)
    assert (tmp_path / "answer.webp").read_bytes() == answer
    script = sample(page, "JavaScript")
    assert page.evaluate(f"async () => {{ {script}\nreturn picture.size; }}") == len(answer)


def test_the_samples_compare_two_pictures(open_page: Open, client: httpx.Client, tmp_path: Path) -> None:
    photos = {"photo.png": png(24, 32), "other.png": png(24, 32, seed=5)}
    page = open_page()
    choose(page, "image_similarity")
    for index, (name, file) in enumerate(photos.items()):
        (tmp_path / name).write_bytes(file)
        take(page, index, file, name)
    pair = zip(("image_1", "image_2"), photos.values(), strict=True)
    answer = client.post("/v1/similarity", files=dict(pair)).json()
    said = subprocess.check_output(["bash", "-c", sample(page, "cURL")], cwd=tmp_path, text=True)
    assert str(answer["similarity"]) in said
    said = subprocess.check_output([sys.executable, "-c", sample(page, "Python")], cwd=tmp_path, text=True)
    assert str(answer["similarity"]) in said
    script = sample(page, "JavaScript")
    assert page.evaluate(f"async () => {{ {script}\nreturn similarity; }}") == answer["similarity"]


def sample(page: Page, language: str) -> str:
    page.get_by_role("tab", name=language).click()
    return page.locator("#sample").inner_text()


def test_the_tabs_and_the_form_work_by_keyboard(open_page: Open) -> None:
    page = open_page()
    take(page, 0, png(24, 32))
    page.get_by_role("tab", name="cURL").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    expect(page.locator("#sample")).to_contain_text("import requests")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#sample")).to_contain_text("curl")
    page.locator("#features input").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[value=human_image_segmentation]")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#picture")).to_be_visible()


def test_errors_say_what_happened_and_what_to_do(open_page: Open) -> None:
    page = open_page()
    take(page, 0, b"no picture at all", "broken.png")
    run(page, "#error")
    expect(page.locator("#error .hint")).to_contain_text("Choose a PNG, JPEG or WebP picture")
    assert len(page.locator("#error .message").inner_text()) > 20
    expect(page.locator("#error .id")).to_contain_text("Request ")
    page.locator("#size").select_option("scale=4")
    for height in (2, 20):  # a request, and a job
        take(page, 0, png(height, 16_400), "long.png")
        run(page, "#error")
        expect(page.locator("#error .message")).to_contain_text("16,384")
    expect(page.locator("#error .hint")).to_contain_text("smaller")
    page.route("**/v1/**", lambda route: route.abort())
    page.locator("#run").click()
    expect(page.locator("#error .message")).to_have_text("The gateway did not answer.")
    expect(page.locator("#error .hint")).to_contain_text("Check that the gateway runs")


def test_a_call_can_be_canceled(open_page: Open) -> None:
    page = open_page()
    take(page, 0, png(24, 32))
    page.route("**/v1/**", lambda route: None)
    page.locator("#run").click()
    expect(page.locator("progress")).to_be_visible()
    expect(page.locator("#run")).to_be_disabled()
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_have_text("Canceled")
    expect(page.locator("progress")).to_be_hidden()
    expect(page.locator("#run")).to_be_enabled()


def newest_job(client: httpx.Client) -> str | None:
    return next((job["id"] for job in client.get("/v1/jobs").json()["jobs"]), None)


def ask_at_once(route: Route) -> None:
    """How far a job is, now instead of within a second: on a fast machine it ends sooner."""
    route.continue_(headers=route.request.headers | {"prefer": "wait=0"})


def test_a_large_picture_is_a_job_that_tells_how_far_it_is(
    open_page: Open, client: httpx.Client, tmp_path: Path
) -> None:
    newest = newest_job(client)
    page = open_page()
    take(page, 0, LARGE)
    page.evaluate(WATCH)
    page.route("**/v1/jobs/*", ask_at_once)
    run(page)
    page.unroute("**/v1/jobs/*")
    expect(page.locator("#facts")).to_contain_text("2800 × 2000 pixels")
    told = page.evaluate("told")
    shares = [int(share) for text in told for share in re.findall(r"Computing: (\d+) %", text)]
    assert shares == sorted(shares)
    assert [share for share in shares if 0 < share < 100], told
    move(page, 0)
    page.locator("#actual").check()
    wait_for(lambda: newest_job(client) == newest, what="the job's removal")

    (tmp_path / "photo.png").write_bytes(LARGE)
    answers = []
    for command in (["bash", "-ec", sample(page, "cURL")], [sys.executable, "-c", sample(page, "Python")]):
        subprocess.run(command, cwd=tmp_path, check=True)
        answers.append((tmp_path / "answer.webp").read_bytes())
        (tmp_path / "answer.webp").unlink()
    script = sample(page, "JavaScript")
    assert page.evaluate(f"async () => {{ {script}\nreturn picture.size; }}") == len(answers[0])
    with page.expect_download() as download:
        page.locator("#download").click()
    answers.append(Path(download.value.path()).read_bytes())
    assert answers == [answers[0]] * 3


def test_a_job_is_canceled_and_can_fail(open_page: Open, client: httpx.Client) -> None:
    newest = newest_job(client)
    page = open_page()
    take(page, 0, LARGE)
    page.locator("#size").select_option("scale=4")  # takes seconds on any machine: the page asks once a second
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("Computing")
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Canceled")
    expect(page.locator("#run")).to_be_enabled()
    wait_for(lambda: newest_job(client) == newest, what="the job's removal")
    take(page, 0, LARGE[: len(LARGE) // 2], "torn.png")
    run(page, "#error")
    expect(page.locator("#error .hint")).to_contain_text("Choose a PNG, JPEG or WebP picture")
    page.locator("#language").click()
    expect(page.locator("#status")).to_have_text("失败")
    expect(page.locator("#error .hint")).to_contain_text("请选择可正常打开的")
    assert axe(page) == []


def test_the_costs_follow_the_call(open_page: Open, client: httpx.Client) -> None:
    rows = client.get("/page/costs.json").json()["rows"]
    page = open_page()
    take(page, 0, png(500, 500))
    page.locator("#size").select_option("scale=4")
    page.locator("#format").select_option("jpeg")
    job = {"feature": "image_super_resolution", "megapixels": 0.25, "scale": 4, "format": "jpeg"}
    row = next(row for row in rows if job.items() <= row.items())
    shown = page.locator("#costs td").all_inner_texts()
    assert shown == [f"${amount:,}" for amount in row["costs"].values()]
    expect(page.locator("#costs .cheapest th")).to_have_text("Batch transform (cheapest)")
    choose(page, "image_similarity")
    expect(page.locator("#costs-job")).to_have_text("Nearest in the table: pictures of 0.25 megapixels.")


@pytest.fixture(scope="module")
def guarded(features_runtime: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A gateway before the same endpoints that asks who calls, as PIXELSERVE_GATEWAY_AUTHORIZATION says."""
    with contextlib.ExitStack() as ends:

        @functools.cache
        def start(authorization: str) -> Gateway:
            folder = tmp_path_factory.mktemp(authorization)
            environment = {
                "PIXELSERVE_GATEWAY_STATE": str(folder),
                "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
                "PIXELSERVE_GATEWAY_AUTHORIZATION": authorization,
            }
            return ends.enter_context(gateway_running(folder, environment))

        yield start


def make_key(gateway: Gateway) -> str:
    """A key of `pixelserve keys`, as its owner is shown it."""
    command = [sys.executable, "-m", "pixelserve_deploy", "keys", "make", "reader", "--state", str(gateway.log.parent)]
    return subprocess.check_output(command, text=True).strip()


@pytest.mark.parametrize("picture", [png(24, 32), LARGE], ids=["small", "large"])
def test_a_key_is_asked_for_and_sent(open_page: Open, guarded: Guarded, tmp_path: Path, picture: bytes) -> None:
    gateway = guarded("keys")
    key = make_key(gateway)
    (tmp_path / "photo.png").write_bytes(picture)
    page = open_page(base=gateway.url)
    take(page, 0, picture)
    page.get_by_label("API key").fill("wrong")
    run(page, "#error")
    expect(page.locator("#error .message")).to_contain_text("key")
    expect(page.locator("#error .hint")).to_contain_text("Enter a valid API key")
    page.get_by_label("API key").fill(key)
    run(page)
    for language in ("cURL", "Python", "JavaScript"):
        assert "x-api-key" in sample(page, language)
        assert key not in sample(page, language)
    for command in (["bash", "-ec", sample(page, "cURL")], [sys.executable, "-c", sample(page, "Python")]):
        subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "PIXELSERVE_API_KEY": key})
        assert (tmp_path / "answer.webp").read_bytes()[:4] == b"RIFF"
        (tmp_path / "answer.webp").unlink()
    assert page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])") == "[{},{}]"


@pytest.mark.parametrize(("authorization", "reason"), [("keys", "API key"), ("iam", "Signature Version 4")])
def test_the_explorer_says_why_nothing_can_be_tried(
    open_page: Open, guarded: Guarded, authorization: str, reason: str
) -> None:
    page = open_page("/explorer", base=guarded(authorization).url)
    expect(page.locator("#off")).to_contain_text("Try it out is off")
    expect(page.locator("#off")).to_contain_text(reason)
    page.locator(".opblock-summary-control").first.click()
    expect(page.get_by_text("Factor of both edges.").first).to_be_visible()
    expect(page.get_by_role("button", name="Try it out")).to_have_count(0)


def test_the_playground_cannot_sign(open_page: Open, guarded: Guarded) -> None:
    page = open_page(base=guarded("iam").url)
    for picture in (png(24, 32), LARGE):
        take(page, 0, picture)
        expect(page.locator("#run")).to_be_disabled()
        expect(page.locator("#iam")).to_be_visible()
        assert "--aws-sigv4" in sample(page, "cURL")
        assert "BotoAWSRequestsAuth" in sample(page, "Python")


def test_the_explorer_shows_and_tries_every_feature(open_page: Open) -> None:
    page = open_page("/explorer")
    expect(page.locator("#off")).to_be_hidden()
    bodies = {
        "image_super_resolution": '{"img": "%s", "scale": 2}',
        "human_image_segmentation": '{"img": "%s", "type": "foreground"}',
        "image_similarity": '{"img_1": "%s", "img_2": "%s"}',
    }
    assert bodies.keys() == {feature.name for feature in FEATURES}
    encoded = base64.b64encode(png(24, 32)).decode()
    for feature in FEATURES:
        block = page.locator(f"[id$='-{feature.name}']")
        expect(block).to_contain_text(native.PATHS[feature.name])
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.locator("textarea").fill(bodies[feature.name].replace("%s", encoded))
        block.get_by_role("button", name="Execute").click()
        live = block.locator(".live-responses-table .response-col_status").last
        expect(live).to_contain_text("200")


@pytest.mark.parametrize("content_type", ["image/*", "multipart/form-data"])
def test_the_explorer_sends_files(open_page: Open, content_type: str) -> None:
    page = open_page("/explorer")
    block = page.locator("[id$='-image_super_resolution']")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.locator(".content-type").first.select_option(content_type)
    file = {"name": "photo.png", "mimeType": "image/png", "buffer": png(24, 32)}
    block.locator("input[type=file]").set_input_files(file)
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text("200")


@pytest.mark.parametrize("path", ["/", "/explorer"])
def test_light_and_dark(open_page: Open, path: str) -> None:
    page = open_page(path, color_scheme="light")
    root, toggle = page.locator("html"), page.get_by_role("button", name="Dark")
    colors = {}
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        expect(root).to_have_attribute("data-theme", theme)
        colors[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        expect(toggle).to_have_attribute("aria-pressed", str(theme == "dark").lower())
    assert colors["light"] != colors["dark"]
    toggle.click()
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colors["light"]


def test_a_phone_scrolls_in_one_direction_only(open_page: Open) -> None:
    page = open_page(viewport=PHONE)
    take(page, 0, png(400, 600), "a-rather-long-name-without-any-blank-" * 3 + ".png")
    for locale in ("English", "中文"):
        for feature in FEATURES:
            choose(page, feature.name)
            assert is_narrow(page)
        page.locator("#language").click()
        expect(page.locator("#language")).to_have_text(locale)
        choose(page, "image_super_resolution")
        run(page)
        page.locator("#actual").check()
        assert is_narrow(page)
    take(page, 0, LARGE)
    for language in ("cURL", "Python", "JavaScript"):
        assert "jobs" in sample(page, language)
        assert is_narrow(page)


def is_narrow(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_chinese(open_page: Open) -> None:
    page = open_page(locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    for feature in FEATURES:
        expect(page.locator("#features")).to_contain_text(feature.title_zh)
    choose(page, "human_image_segmentation")
    take(page, 0, png(24, 32))
    run(page)
    expect(page.locator("#status")).to_contain_text("完成")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#status")).to_contain_text("Done in")
    page.reload()
    expect(page.locator("#run")).to_have_text("Run")
    assert page.evaluate("import('./page/texts.js').then((texts) => texts.missingTexts())") == []


LOOKS = pytest.mark.parametrize(
    ("theme", "viewport"), [("light", DESKTOP), ("dark", PHONE)], ids=["light", "dark phone"]
)


@LOOKS
def test_the_playground_is_accessible(open_page: Open, person: bytes, theme: str, viewport: dict[str, int]) -> None:
    page = open_page(color_scheme=theme, viewport=viewport)
    assert axe(page) == []
    choose(page, "human_image_segmentation")
    take(page, 0, person)
    run(page)
    assert axe(page) == []
    choose(page, "image_similarity")
    take(page, 1, b"no picture", "other.png")
    run(page, "#error")
    assert axe(page) == []


@LOOKS
def test_the_explorer_is_accessible(open_page: Open, theme: str, viewport: dict[str, int]) -> None:
    page = open_page("/explorer", color_scheme=theme, viewport=viewport)
    blocks = page.locator(".opblock-summary-control")
    expect(blocks.first).to_be_visible()
    for block in blocks.all():
        block.click()
    page.get_by_role("button", name="Try it out").first.click()
    expect(page.get_by_role("button", name="Execute")).to_be_visible()
    assert axe(page) == []
    assert is_narrow(page)


def axe(page: Page) -> list[str]:
    """The rules of axe-core that the page breaks, and where."""
    violations = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {', '.join(str(node['target']) for node in rule['nodes'])}" for rule in violations]
