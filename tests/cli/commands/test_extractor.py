"""`ltbench extractor` as a newcomer meets it: a folder in, a name out, scores under that name."""

import numpy as np
import pytest
from PIL import Image

from ltbench.cli.app import main
from ltbench.extractors import trained
from ltbench.extractors.registry import EXTRACTORS
from ltbench.runs.scores import read_scores


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """Three classes of one colour each, 40, 30 and 20 images of 16 x 16."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(trained.FOLDER_VARIABLE, str(tmp_path / "extractors"))
    monkeypatch.delenv("LTBENCH_DATA", raising=False)
    monkeypatch.setattr(trained, "FEWEST", 30)
    EXTRACTORS.forget()
    draw = np.random.default_rng(0)
    for k, (name, count) in enumerate((("circle", 40), ("square", 30), ("stripe", 20))):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for i in range(count):
            image = draw.normal(60 + 70 * k, 20, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "shapes" / name / f"{i}.png")
    yield tmp_path
    EXTRACTORS.forget()


def test_an_extractor_of_a_folder_is_trained_listed_and_scores_samples(shapes, capsys):
    assert call("extractor", "train", "./shapes", "--image-size", 16) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "held-out images" in shown
    assert "reference images are among" not in shown  # a folder's reference is no part of its pool
    assert "--set score.extractors=shapes_cnn" in shown
    assert call("extractor", "list") == 0
    listed = capsys.readouterr().out.splitlines()
    (line,) = [line for line in listed if line.startswith("shapes_cnn")]
    assert line.endswith("ready")
    assert [row for row in listed if row.startswith("inception_clean") and " clean " in row]
    assert call("extractor", "train", "./shapes", "--image-size", 16) == 2
    assert "is there already" in capsys.readouterr().err
    assert call("extractor", "train", "./shapes", "--image-size", 16, "--name", "pixels") == 2
    assert "comes from ltbench.extractors" in " ".join(capsys.readouterr().err.split())

    assert call("plan", "-d", "./shapes", "-m", "ddpm", "--set", "score.extractors=shapes_cnn") == 2
    refused = " ".join(
        capsys.readouterr().err.split()
    )  # a folder is prepared at 32 pixels where none are asked for
    assert "shapes_cnn takes 16x16 images of 3 channel(s), not 32x32 of 3" in refused

    words = [
        "score",
        "shapes",
        "-d",
        "folder_lt:shapes",
        "--set",
        "data.image_size=16",
        "--extractors",
        "shapes_cnn",
        "--metrics",
        "frechet,agreement",
    ]
    assert call(*words) == 0
    (path,) = (shapes / "runs").rglob("scores.csv")
    rows = read_scores(path)
    overall = rows[(rows["scope"] == "overall") & rows["metric"].isin(["frechet", "agreement"])]
    assert overall["value"].notna().all()
    assert set(overall["extractor"]) == {"shapes_cnn"}


@pytest.mark.usefixtures("shapes")
def test_an_extractor_that_was_trained_on_the_reference_says_so(capsys):
    """The pool of the named digits is their reference, all 1,200 images of it."""
    assert call("extractor", "train", "digits_lt", "--name", "mine") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: 1,200 of the 1,200 reference images are among those it was trained on" in shown


def test_a_resizing_is_a_flag_and_a_setting_that_is_checked_before_any_training(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert call("run", "-m", "ddpm", "--set", "score.resize=clean") == 2
    assert "digits_cnn resizes images in one way" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").glob("*/weights"))
    np.savez("mine.npz", images=np.zeros((4, 1, 8, 8), np.uint8))
    assert call("score", "mine.npz", "-d", "digits_lt", "--resize", "bicubic", "--range", "uint8") == 2
    assert "--resize 'bicubic' is none of own, legacy, clean" in " ".join(capsys.readouterr().err.split())
