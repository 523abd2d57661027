"""Samples from elsewhere, scored by the command: beside ours in results, tables and report."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from report_folders import make_spec, score_rows, write_scores

from ltbench.analysis.cells import cells
from ltbench.cli.app import main
from ltbench.data import load_dataset
from ltbench.files import write_json
from ltbench.report import write_report
from ltbench.report.tables.scores import overall_table
from ltbench.runs.layout import folder_name
from ltbench.runs.results import load_results
from ltbench.runs.scores import read_scores
from ltbench.specs import DataSpec, sample_key, train_key


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
