"""Samples made elsewhere: every form is read to the same pixels, every doubtful one is refused in one sentence."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from report_folders import make_spec, score_rows, write_scores
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from ltbench.cli.app import main
from ltbench.cli.results import numbers_table
from ltbench.data import load_dataset
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.files import write_json
from ltbench.interop.external import ExternalClaims
from ltbench.interop.samples import read_samples
from ltbench.report import write_report
from ltbench.report.cells import cells
from ltbench.report.tables.scores import overall_table
from ltbench.runs.layout import folder_name
from ltbench.runs.results import load_results
from ltbench.runs.scores import read_scores
from ltbench.specs import UNLABELLED, DataSpec, sample_key, train_key

NAMES = ("air plane", "Bird", "cat")
CELL = SimpleNamespace(
    shape=(3, 8, 8), num_classes=3, class_names=NAMES, spec=DataSpec(dataset="three", imbalance_ratio=0.5)
)
GREY = SimpleNamespace(**{**vars(CELL), "shape": (1, 8, 8)})
LABELS = np.array([0, 1, 2, 0, 1, 2])


def pixels(channels=3, seed=0, n=6):
    images = np.random.default_rng(seed).integers(0, 256, (n, channels, 8, 8), dtype=np.uint8)
    images[0, 0, 0, :2] = 0, 255
    return images


def saved(tmp_path, images, labels=LABELS, name="theirs.npz", **more):
    path = tmp_path / name
    arrays = {"images": images} | ({} if labels is None else {"labels": labels}) | more
    if name.endswith(".npy"):
        np.save(path, images)
    elif name.endswith(".safetensors"):
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, path)
    else:
        np.savez(path, **arrays)
    return path


# -- what is recognised -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: x, "uint8, values 0..255"),
        (lambda x: x.astype(np.int64), "int64, values 0..255"),
        (lambda x: x.astype(np.float32), "float32, values 0..255"),
        (lambda x: (x / 255).astype(np.float32), "float32, values in [0, 1]"),
        (lambda x: x / 127.5 - 1, "float64, values in [-1, 1]"),
        (lambda x: (x / 127.5 - 1).astype(np.float16), "float16, values in [-1, 1]"),
    ],
)
def test_every_form_is_read_to_the_same_pixels(tmp_path, suffix, layout, make, words):
    images = make(pixels())
    images = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    found = read_samples(saved(tmp_path, images, name=f"theirs.{suffix}"), CELL)
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.images, pixels())
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.recognised == f"{layout}, {words}"


def test_the_names_that_numpy_gives_unnamed_arrays_are_known(tmp_path):
    np.savez(tmp_path / "adm.npz", pixels().transpose(0, 2, 3, 1), LABELS)  # as guided-diffusion saves
    np.testing.assert_array_equal(read_samples(tmp_path / "adm.npz", CELL).images, pixels())


@pytest.mark.parametrize("name", ["labels.npy", "labels.txt"])
def test_labels_in_a_file_of_their_own(tmp_path, name):
    if name == "labels.npy":
        np.save(tmp_path / name, LABELS.astype(np.uint8))
    else:
        (tmp_path / name).write_text("0\n1\n2\n0\n1\n2\n")
    found = read_samples(saved(tmp_path, pixels(), name="theirs.npy"), CELL, tmp_path / name)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_grey_images_need_no_channel_axis(tmp_path):
    images = pixels(1)
    found = read_samples(saved(tmp_path, images[:, 0]), GREY)
    np.testing.assert_array_equal(found.images, images)


def test_a_stated_range_is_taken_and_a_little_overshoot_clipped(tmp_path):
    images = (pixels() / 255.0).astype(np.float32)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = -0.02, 1.03
    found = read_samples(saved(tmp_path, images), CELL, value_range="0..1")
    np.testing.assert_array_equal(found.images, pixels())
    assert "clipped" in found.recognised


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_scaling_to_floats_and_back_loses_nothing(seed):
    """What `to_uint8` of the samplers wrote comes back to the last bit from either range."""
    from ltbench.interop.pixel_values import to_uint8

    images = pixels(seed=seed)
    for made in ((images / 127.5 - 1).astype(np.float32), (images / 255).astype(np.float32)):
        np.testing.assert_array_equal(to_uint8("theirs", made, None)[0], images)


@pytest.mark.parametrize("names", [("0", "1", "2"), ("00", "01", "02"), ("airplane", "bird", "CAT")])
def test_a_folder_of_class_folders(tmp_path, names):
    for image, label in zip(pixels(), LABELS, strict=True):
        folder = tmp_path / "made" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{len(list(folder.iterdir()))}.png")
    found = read_samples(tmp_path / "made", CELL)
    order = np.argsort(LABELS, kind="stable")
    np.testing.assert_array_equal(found.images, pixels()[order])
    np.testing.assert_array_equal(found.labels, LABELS[order])


# -- what is refused --------------------------------------------------------------------------------


def floats(low, high):
    images = np.random.default_rng(0).uniform(low, high, (6, 3, 8, 8))
    images[0, 0, 0, :2] = low, high
    return images


def with_value(value):
    images = floats(-1, 1)
    images[3, 1, 2, 2] = value
    return images


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (floats(-0.1, 1.0), LABELS, r"-0.1 to 1, which may mean \[0, 1\] or \[-1, 1\]"),
        (floats(0.4, 0.9), LABELS, r"may mean .* --range 0..1 or -1..1"),
        (floats(0, 1.4), LABELS, r"none of 0..255, \[0, 1\] and \[-1, 1\]"),
        (floats(-3, 3), LABELS, r"none of 0..255"),
        (floats(0, 255), LABELS, r"none of 0..255"),
        (pixels() // 255, LABELS, "cast before they were scaled"),
        (pixels() // 16, LABELS, "nothing brighter than half"),
        (pixels().astype(int) - 1, LABELS, "none of 0..255"),
        (with_value(np.nan), LABELS, "NaN or infinite"),
        (with_value(-np.inf), LABELS, "NaN or infinite"),
        (pixels() > 9, LABELS, "bool values"),
        (pixels().astype(complex), LABELS, "complex128 values"),
        (
            pixels()[:, :1],
            LABELS,
            r"grey images \(1 x 8 x 8\), but three's are colour \(3 x 8 x 8\): repeat the channel",
        ),
        (
            np.zeros((6, 3, 16, 16), np.uint8),
            LABELS,
            "make them that size, or compare at --set data.image_size=16",
        ),
        (np.zeros((6, 3, 8, 9), np.uint8), LABELS, "make them that size"),
        (pixels()[:, 0], LABELS, "must be N x C x H x W"),
        (pixels(), LABELS[:5], "5 labels for 6 images"),
        (pixels(), LABELS + 1, "label 3, but three has classes 0..2"),
        (pixels(), LABELS - 1, "label -1, but"),
        (pixels(), LABELS / 2, "one whole number an image, not float64"),
        (pixels(), np.eye(6, 3, dtype=int), "one whole number an image"),
        (pixels(), LABELS % 2, r"no image of class 2 \(cat\)"),
        (pixels()[:0], LABELS[:0], "holds no image"),
        (pixels()[:0], None, "holds no image"),
    ],
)
def test_doubtful_arrays_are_refused_in_one_sentence(tmp_path, images, labels, says):
    path = saved(tmp_path, images, labels)
    with pytest.raises(LtbenchError, match=says) as caught:
        read_samples(path, CELL)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_may_be_either_layout_is_refused(tmp_path):
    tiny = SimpleNamespace(**{**vars(CELL), "shape": (3, 3, 3)})
    with pytest.raises(UsageError, match="may be NCHW or NHWC"):
        read_samples(saved(tmp_path, pixels()[:, :, :3, :3]), tiny)


def test_a_wrong_range_is_noticed(tmp_path):
    with pytest.raises(DataCorrupt, match=r"outside the range 0..1 \(they go from 0 to 255\)"):
        read_samples(saved(tmp_path, pixels()), CELL, value_range="0..1")
    with pytest.raises(UsageError, match="--range takes"):
        read_samples(saved(tmp_path, pixels()), CELL, value_range="0-1")


def test_files_that_are_not_what_they_seem(tmp_path):
    with pytest.raises(DataMissing, match="does not exist"):
        read_samples(tmp_path / "none.npz", CELL)
    (tmp_path / "made.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"none of .npy, .npz, .safetensors"):
        read_samples(tmp_path / "made.pt", CELL)
    for name in ("a.npz", "a.safetensors", "a.npy"):
        whole = saved(tmp_path, pixels(), name=name).read_bytes()
        for content in (b"", b"not an array at all" * 9, whole[: len(whole) // 2]):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(
                DataCorrupt, match=f"{re.escape(name)}(:| is truncated or no) .*save the samples again"
            ):
                read_samples(tmp_path / name, CELL)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataCorrupt, match="of plain arrays"):
        read_samples(tmp_path / "pickled.npy", CELL)
    np.savez(tmp_path / "odd.npz", faces=pixels())
    with pytest.raises(UsageError, match=r"holds faces: call the array of images 'images'"):
        read_samples(tmp_path / "odd.npz", CELL)
    with pytest.raises(UsageError, match="and only that one"):
        read_samples(saved(tmp_path, pixels(), samples=pixels()), CELL)


def test_label_files_that_are_none(tmp_path):
    path = saved(tmp_path, pixels(), name="theirs.npy")
    with pytest.raises(DataMissing, match=r"none\.txt: No such file"):
        read_samples(path, CELL, tmp_path / "none.txt")
    for name, content in (("a.txt", b"0\ncat\n"), ("b.txt", b"\xff\xfe"), ("c.npy", b"0 1 2")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataCorrupt, match=f"{name} holds no labels"):
            read_samples(path, CELL, tmp_path / name)


@pytest.mark.parametrize("name", ["theirs.npz", "theirs.npy", "theirs.safetensors", "adm.npz"])
def test_images_without_labels_are_read_as_one_set_and_said(tmp_path, name):
    path = saved(tmp_path, pixels(), None, name)
    if name == "adm.npz":
        np.savez(path, pixels())
    found = read_samples(path, CELL)
    np.testing.assert_array_equal(found.images, pixels())
    assert found.labels.tolist() == [UNLABELLED] * 6
    assert "no labels, so they are scored as one set" in found.recognised
    assert "--labels" in found.recognised


def test_an_array_that_may_hold_the_labels_is_named(tmp_path):
    path = saved(tmp_path, pixels(), None, classes=LABELS)
    assert (
        "add them as 'labels', as classes is called if it holds them," in read_samples(path, CELL).recognised
    )


def test_labels_that_contradict_the_files_own_are_refused(tmp_path):
    path, other = saved(tmp_path, pixels()), tmp_path / "labels.txt"
    other.write_text("\n".join(map(str, LABELS[::-1])))
    with pytest.raises(UsageError, match=r"theirs\.npz holds labels of its own, and .*labels\.txt others"):
        read_samples(path, CELL, other)
    other.write_text("\n".join(map(str, LABELS)))
    assert read_samples(path, CELL, other).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("images", [pixels().astype(np.uint16) * 257, pixels().astype(np.int16) - 128])
def test_another_scale_is_not_to_be_clipped(tmp_path, images):
    with pytest.raises(UsageError, match="scale them to one of these") as caught:
        read_samples(saved(tmp_path, images), CELL)
    assert "clip" not in str(caught.value)


def test_a_packed_array_file_is_to_be_unpacked(tmp_path):
    (tmp_path / "a.npy.gz").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"is packed: unpack it, and give a\.npy$"):
        read_samples(tmp_path / "a.npy.gz", CELL)


def test_a_folder_of_images_and_no_folder_is_a_set_without_labels(tmp_path):
    for i, image in enumerate(pixels()):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    found = read_samples(tmp_path, CELL)
    np.testing.assert_array_equal(found.images, pixels())
    assert set(found.labels) == {UNLABELLED}
    assert "no labels" in found.recognised
    with pytest.raises(UsageError, match="leave --labels out"):
        read_samples(tmp_path, CELL, tmp_path / "0.png")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataCorrupt, match=r"notes\.txt"):
        read_samples(tmp_path, CELL)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("0/a.png", b"no image", "0/a.png is truncated or no image"),
        ("0/notes.txt", b"hello", "0/notes.txt is truncated or no image"),
        ("dog/a.png", None, "dog is no class of three: name its folders 0..2 or air plane, Bird, cat"),
        ("7/a.png", None, "7 is no class of three"),
    ],
)
def test_folders_that_are_refused(tmp_path, name, content, says):
    for k in range(3):
        (tmp_path / str(k)).mkdir()
        Image.fromarray(pixels()[k].transpose(1, 2, 0)).save(tmp_path / str(k) / "b.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content or b"")
    with pytest.raises(LtbenchError, match=says):
        read_samples(tmp_path, CELL)


def test_folders_of_other_sizes_or_without_images(tmp_path):
    with pytest.raises(DataMissing, match="has no class folders"):
        read_samples(tmp_path, CELL)
    for k in range(3):
        (tmp_path / str(k)).mkdir()
    with pytest.raises(DataCorrupt, match="no image of class 0"):
        read_samples(tmp_path, CELL)
    for k in range(3):
        Image.new("RGB", (9, 8)).save(tmp_path / str(k) / "b.png")
    with pytest.raises(DataCorrupt, match=r"b\.png is 9x8, but three's images are 8x8"):
        read_samples(tmp_path, CELL)
    with pytest.raises(UsageError, match="leave --labels out"):
        read_samples(tmp_path, CELL, tmp_path / "labels.npy")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../up", ".", "...", "+-"])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(UsageError, match="--name"):
        ExternalClaims(name)


@pytest.mark.parametrize(
    "claim", [{"nfe": -1}, {"step": -5}, {"guidance": float("nan")}, {"sample_seed": -1}]
)
def test_a_claim_that_no_sampling_has_is_refused(claim):
    with pytest.raises(UsageError, match="must be 0 or more"):
        ExternalClaims("gan", **claim)


# -- the result stands beside our runs --------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Held-out digits handed in as if they were somebody's samples, and one run of ours in the same cell."""
    root = tmp_path_factory.mktemp("external")
    cell = load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    path = root / "gan.npz"
    np.savez(path, images=cell.heldout.images / 127.5 - 1, labels=cell.heldout.labels)
    out = root / "runs"
    ours = make_spec("ddpm", ratio=0.05)
    folder = out / folder_name(ours)
    recorded = ours.model_dump(mode="json", include={"data", "model", "method", "train", "train_seed"})
    write_json(folder / "spec.json", {"train_key": train_key(ours), **recorded})
    samples = folder / "samples" / sample_key(ours)[:8]
    write_json(samples / "spec.json", {"sample": ours.sample.model_dump(mode="json")})
    write_scores(samples / "scores.csv", score_rows(ours))
    arguments = ["score", path, "-d", "digits_lt", "-r", "0.05", "--name", "gan", "--guidance", "0.5"]
    arguments += ["--metrics", "frechet,agreement", "--out", out]
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert ended.value.code == 0
    return out


def test_external_scores_share_a_cell_with_ours_and_are_marked(scored):
    scores = load_results(scored).scores
    assert len(set(scores["cell"])) == 1
    theirs = scores[scores["method"] == "gan"]
    assert set(theirs["origin"]) == {"external"}
    assert set(theirs["guidance"]) == {0.5}
    assert theirs["step"].isna().all()
    assert set(theirs["settings"]) == {"{}"}
    overall = theirs[(theirs["scope"] == "overall") & (theirs["metric"] == "frechet")]
    floor = theirs[(theirs["scope"] == "overall") & (theirs["metric"] == "frechet.floor")]
    # Held-out images in the samples' place are the floor itself.
    assert overall["value"].item() == pytest.approx(floor["value"].item(), rel=0.25)


def test_the_overall_table_shows_both_with_their_origin(scored):
    (cell,) = cells(load_results(scored).scores)
    table = overall_table(cell)
    assert "Origin" in table.columns
    assert [row for row in table.rows if "gan" in row[0].lower() and "external" in row]
    assert [row for row in table.rows if "DDPM" in row[0] and "ours" in row]


def test_the_main_numbers_are_each_measures_overall_value_class_mean_and_floor():
    rows = [
        ("overall", "", "kid", 0.25), ("overall", "", "frechet", 12.345), ("overall", "", "frechet.floor", 1.5),
        ("overall", "", "frechet.ci_low", 9.0), ("group", "macro", "frechet", 20.0), ("group", "macro", "frechet.floor", 3.0),
        ("group", "worst", "frechet", 40.0), ("class", "3", "frechet", 7.0), ("overall", "", "agreement", float("nan")),
    ]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["scope", "class_or_group", "metric", "value"])
    table = numbers_table(scores.assign(extractor="pixels", n_generated=400, n_reference=1200), "gan")
    assert table.rows == [
        ["FD (pixels) ↓", "12.35", "20.00", "1.50"],
        ["Agreement ↑", "—", "—", "—"],
        ["KD (pixels) ↓", "0.2500", "—", "—"],
    ]
    assert table.notes == ["400 images against 1,200 real ones"]


def test_a_scoring_prints_its_numbers(scored, tmp_path, capsys):
    stored = load_results(scored).scores.query(
        "method == 'gan' and scope == 'overall' and metric == 'frechet'"
    )
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "score",
                str(scored.parent / "gan.npz"),
                "-d",
                "digits_lt",
                "--metrics",
                "frechet",
                "--out",
                str(tmp_path),
            ]
        )
    assert ended.value.code == 0
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("FD (digits_cnn)")
    ]
    assert f"{stored['value'].item():.2f}" in line


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--metrics", "fretchet"), "did you mean 'frechet'"),
        (("--metrics", ",,"), "names nothing"),
        (("--extractors", " , "), "names nothing"),
        (("--extractors", "digits_cn"), "did you mean 'digits_cnn'"),
        (("--nfe", "-1"), "--nfe -1: must be 0 or more"),
    ],
)
def test_a_request_that_cannot_be_scored_leaves_no_samples_behind(scored, tmp_path, capsys, flags, says):
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "score",
                str(scored.parent / "gan.npz"),
                "-d",
                "digits_lt",
                "--out",
                str(tmp_path / "runs"),
                *flags,
            ]
        )
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("spec.json"))


@pytest.mark.slow  # the figures of one report
def test_the_whole_report_is_written(scored, tmp_path):
    written = write_report(scored, tmp_path / "report")
    assert "external" in (written.path / "report.md").read_text()


def test_more_metrics_can_be_added_later_under_the_same_name(scored):
    (path,) = scored.glob("*gan-external-*/samples/*/scores.csv")
    before = pd.read_csv(path)
    with pytest.raises(SystemExit):
        main(["evaluate", str(path.parent), "--metrics", "kid"])
    after = pd.read_csv(path)
    assert set(after["origin"]) == {"external"}
    assert set(after["method"]) == {"gan"}
    assert {"kid"} <= set(after["metric"]) - set(before["metric"])
    assert set(after["sample_key"]) == set(before["sample_key"])
    assert len(set(after["sample_key"])) == 1


class Averages(torch.nn.Module):
    """Mean, spread and corner of an image: features of another network than the stored numbers'."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.float().flatten(1)
        return torch.stack([x.mean(1), x.std(1), x[:, 9]], dim=1)


def test_an_evaluation_adds_what_another_extractor_lacks_and_else_touches_nothing(scored, tmp_path, capsys):
    (path,) = scored.glob("*gan-external-*/samples/*/scores.csv")
    other = tmp_path / "averages.pt"
    torch.jit.script(Averages()).save(other)

    def evaluate(*flags):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", str(path.parent), "--metrics", "frechet", *flags])
        assert ended.value.code == 0
        return " ".join(capsys.readouterr().out.split())

    evaluate()
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert "0 numbers (all are there)" in evaluate("--extractors", "digits_cnn")
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == written
    evaluate("--extractors", f"digits_cnn,torchscript:{other}")
    frechet = read_scores(path).query("metric == 'frechet' and scope == 'overall'")
    assert sorted(frechet["extractor"]) == ["digits_cnn", "torchscript:averages"]
    whole = path.read_text()
    assert "0 numbers (all are there)" in evaluate("--extractors", f"digits_cnn,torchscript:{other}")
    assert path.read_text() == whole
    assert set(before.decode().splitlines()) <= set(whole.splitlines())
    evaluate("--groups", "cm", "--reference", "heldout")
    added = read_scores(path).query("reference == 'digits_lt, held-out' and scope == 'pooled'")
    assert set(added["grouping"]) == {"cm"}
    assert set(added["labels"]) == {"0-2", "3-5", "6-9"}


def test_unlabelled_samples_stand_in_the_report_with_what_can_be_said_of_them(tmp_path, capsys):
    cell = load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    np.savez(tmp_path / "adm.npz", cell.heldout.images[:, 0])
    for command in (
        ["score", tmp_path / "adm.npz", "-d", "digits_lt", "-r", "0.05", "--metrics", "frechet,agreement"],
        ["evaluate", tmp_path / "runs", "--metrics", "precision_recall"],  # they are read again from there
    ):
        with pytest.raises(SystemExit) as ended:
            main(
                [str(word) for word in [*command, *(["--out", tmp_path / "runs"] * (command[0] == "score"))]]
            )
        assert ended.value.code == 0
    assert "they have no labels" in " ".join(capsys.readouterr().out.split())
    written = write_report(tmp_path / "runs", tmp_path / "report")
    (line,) = [
        line for line in (written.path / "report.md").read_text().splitlines() if line.startswith("| adm |")
    ][:1]
    assert re.search(r"\| 0\.[0-9]+ \|", line)
    (path,) = (tmp_path / "runs").rglob("scores.csv")
    classes = read_scores(path).query("scope == 'class'")
    assert classes["value"].isna().all()
    assert (classes["reason"].str.contains("have no labels")).all()


def test_unknown_groupings_and_references_are_named_with_what_there_is(scored, capsys):
    for flags, says in (
        (("--groups", "third"), "no grouping called 'third'; did you mean 'thirds'"),
        (("--reference", "train"), "--reference 'train' is none of balanced, heldout, longtail"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", str(scored), *flags])
        assert ended.value.code != 0
        out = capsys.readouterr()
        assert says in " ".join((out.out + out.err).split())


def test_more_than_one_data_cell_or_other_settings_are_refused():
    from ltbench.study.resolve import resolve_cell as data_cell

    with pytest.raises(UsageError, match="2 data cells"):
        data_cell("digits_lt", ["data.split_seed=0,1"], {}, None)
    with pytest.raises(UsageError, match="only data"):
        data_cell("digits_lt", ["train.steps=3"], {}, None)
    with pytest.raises(UsageError, match="did you mean 'digits_lt'"):
        data_cell("digit_lt", [], {}, None)
    assert data_cell("celeba5", [], {}, None).profile == "asis"


@pytest.mark.parametrize("parts", [("train", "val"), ("Training-Set", "test"), ("val",)])
def test_a_folder_of_a_sets_parts_is_told_that_samples_are_one_of_them(parts, tmp_path):
    """It said "name parts train and val" of parts that were so named."""
    for part in parts:
        for name in NAMES:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(pixels()[i].transpose(1, 2, 0)).save(tmp_path / part / name / f"{i}.png")
    with pytest.raises(UsageError, match=re.escape(f"give one of them, such as {tmp_path / parts[0]}")):
        read_samples(tmp_path, CELL)
    assert len(read_samples(tmp_path / parts[0], CELL).images) == 6
    named = SimpleNamespace(**{**vars(CELL), "class_names": ("train", "val", "test")})
    if len(parts) > 1 and set(parts) <= {"train", "val"}:  # classes of those names are classes
        (tmp_path / "test").mkdir()
        with pytest.raises(LtbenchError) as refused:
            read_samples(tmp_path, named)
        assert "give one of them" not in str(refused.value)


@pytest.mark.parametrize(
    ("images", "part"),
    [
        (np.uint8(3), "images must be N x C x H x W"),  # was an internal error
        (pixels().transpose(1, 0, 2, 3), "theirs.npz holds images 6 x 8 x 8"),  # was "6 labels for 3 images"
        (pixels().reshape(6, -1), "images must be N x C x H x W"),
    ],
)
def test_images_of_no_layout_are_told_so_before_their_labels_are_counted(images, part, tmp_path):
    with pytest.raises(LtbenchError) as refused:
        read_samples(saved(tmp_path, images), CELL)
    assert part in str(refused.value)


@pytest.mark.parametrize(("kind", "named"), [(torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_numbers_that_numpy_cannot_hold_are_named(kind, named, tmp_path):
    """It said that the file is truncated, or none of plain arrays, and to save it again."""
    path = tmp_path / "theirs.safetensors"
    save_tensors({"images": (torch.tensor(pixels()) / 255).to(kind)}, path)
    with pytest.raises(DataCorrupt, match=f"holds {named} values.*save it as float32"):
        read_samples(path, CELL)
