"""--weights: published ones by name, the embedded ones, a folder, and what runs without a choice."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pixelserve.errors import NotFound
from pixelserve.local import Source
from pixelserve.models import WeightsError
from pixelserve_deploy import cli
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import choose_all_weights, choose_weights

FEATURES = ("image-super-resolution", "human-image-segmentation", "image-similarity")


@pytest.fixture
def fetched(selfie_segmentation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of selfie-segmentation, where `weights fetch` would have put it."""
    monkeypatch.setenv("PIXELSERVE_WEIGHTS_DIR", str(tmp_path))
    return Path(shutil.copytree(selfie_segmentation, tmp_path / "selfie-segmentation"))


def folders(*chosen: str, names: tuple[str, ...] = FEATURES) -> list[Path | None]:
    with ExitStack() as scratch:
        return [source.model_dir for source in choose_all_weights(map(Source.parse, names), list(chosen), scratch)]


def test_the_recommended_ones_run_once_they_are_fetched(fetched: Path, capsys: Any) -> None:
    assert folders() == [None, fetched, None]
    assert "human-image-segmentation runs with selfie-segmentation, recommended" in capsys.readouterr().err
    assert folders(names=("people=human-image-segmentation",)) == [fetched]
    shutil.rmtree(fetched)
    assert folders() == [None, None, None]
    assert "Better: pixelserve weights fetch selfie-segmentation" in capsys.readouterr().err


def test_a_choice_is_for_its_feature_its_endpoint_or_all(fetched: Path, tmp_path: Path) -> None:
    assert folders("embedded") == [None, None, None]
    assert folders("selfie-segmentation") == [None, fetched, None]
    assert folders(f"image-similarity={tmp_path}") == [None, fetched, tmp_path]
    assert folders(f"image-similarity={tmp_path}", "human-image-segmentation=embedded") == [None, None, tmp_path]
    assert folders("embedded", "selfie-segmentation") == folders("selfie-segmentation", "embedded")
    assert folders("embedded", "selfie-segmentation") == [None, fetched, None]
    assert folders(str(tmp_path), names=FEATURES[:1]) == [tmp_path]


def test_several_of_one_endpoint_lie_together(fetched: Path, tmp_path: Path) -> None:
    """A network that is published, and one in a folder of the user's, as `build` puts both into an image."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.pth").write_bytes(b"weights")
    source, chosen = Source.parse(FEATURES[1]), ["selfie-segmentation", str(tmp_path / "own"), "selfie-segmentation"]
    with ExitStack() as scratch:
        [together] = choose_all_weights([source], chosen, scratch)
        assert together.model_dir is not None
        assert {path.name: path.read_bytes() for path in together.model_dir.iterdir()} == {
            "net.pth": b"weights",
            "selfie_segmentation.tflite": (fetched / "selfie_segmentation.tflite").read_bytes(),
        }
    assert not together.model_dir.exists()
    assert (fetched / "selfie_segmentation.tflite").exists()


@pytest.mark.parametrize(("others", "message"), [
    (["embedded"], "names of published weights, and one folder or `embedded`"),
    (["/", "/tmp"], "names of published weights, and one folder or `embedded`"),
    (["{copy}"], "selfie-segmentation and .*/copy both have selfie_segmentation.tflite: take one"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(fetched: Path, others: list[str], message: str) -> None:
    copy = shutil.copytree(fetched, fetched.with_name("copy"))
    chosen = ["selfie-segmentation", *(other.format(copy=copy) for other in others)]
    with pytest.raises(UsageError, match=message):
        folders(*chosen, names=FEATURES[1:2])


@pytest.mark.parametrize(("chosen", "error", "message"), [
    ("/", UsageError, "write NAME=/, with NAME one of image-super-resolution"),
    ("other=embedded", UsageError, "with NAME one of"),
    ("u2netp", NotFound, "not here: pixelserve weights fetch u2netp"),
    ("image-similarity=nothing", NotFound, "no published weights of that name"),
    ("image-similarity=/nowhere", NotFound, "no folder /nowhere"),
])  # fmt: skip
def test_what_cannot_be_chosen_is_told(chosen: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        folders(chosen)


def test_damaged_weights_do_not_run(fetched: Path) -> None:
    path = fetched / "selfie_segmentation.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="another SHA-256"):
        choose_weights(Source.parse(FEATURES[1]), None)


def test_a_handler_of_the_users_keeps_its_own_weights(fetched: Path, tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("")
    assert choose_weights(Source.parse(str(tmp_path)), None).model_dir == tmp_path


def test_an_image_gets_them_too(fetched: Path, capsys: Any) -> None:
    build = ["build", "human-image-segmentation", "--dry-run"]
    assert cli.main([*build, "--weights", "embedded"]) == 0
    without = capsys.readouterr().out
    assert cli.main(build) == 0
    shown = capsys.readouterr()
    assert shown.out != without
    assert "runs with selfie-segmentation" in shown.err
    assert cli.main([*build, "--weights", "u2netp"]) == 0
    assert '"WEIGHTS": "u2netp"' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*build, "--weights", "u2netp", "--weights", "embedded"])
    assert "one folder" in capsys.readouterr().err
