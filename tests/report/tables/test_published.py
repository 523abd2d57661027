"""The papers' numbers beside ours, and what is missing."""

from report_folders import (
    make_spec,
    score_rows,
    write_scores,
)

from ltbench.analysis.cells import cells
from ltbench.analysis.published_files import load_published
from ltbench.report.tables.published import paper_tables, published_table
from ltbench.runs.results import load_scores
from ltbench.study.missing import missing_runs


def test_published_numbers_are_the_papers():
    published = load_published()
    chosen = published[(published["dataset"] == "cifar10_lt") & (published["imbalance_ratio"] == 0.001)]
    fid = chosen[(chosen["metric"] == "fid") & (chosen["method"] == "coral")]
    assert list(fid["value"]) == [11.03]
    assert set(published["confidence"]) <= {"T", "S", "C"}


def test_papers_tables_show_what_is_missing(pages_study):
    found, published = cells(load_scores(pages_study)), load_published()
    tables = {table.name: table for table in paper_tables(found, published)}
    cifar = tables["paper-cifar10_lt"]
    assert cifar.columns[2:8] == [
        "FID ↓",
        "IS ↑",
        "KID, subsets ↓",
        "F8 ↑",
        "Recall ↑",
        "F1/8 ↑",
    ] or "KID" in str(cifar.columns)
    assert all(entry == "—" for row in cifar.rows for entry in row[2:])
    assert {row[1] for row in cifar.rows} >= {"DDPM", "CBDM", "T2H", "CORAL"}
    assert published_table(found, published) is None
    every = published_table(found, published, every=True)
    assert len(every.rows) == len(published)


def test_papers_tables_set_ours_beside_published(tmp_path):
    for seed, fid in ((0, 6.0), (1, 7.0)):
        spec = make_spec(
            "ddpm", seed, dataset="cifar10_lt", ratio=0.01, sampler="ancestral", steps=1000, guidance=0.8
        )
        rows = [
            r | {"value": str(fid)} for r in score_rows(spec, extractor="inception", metrics=("frechet",))
        ]
        write_scores(tmp_path / f"{seed}" / "samples" / "k" / "scores.csv", rows)
    found = cells(load_scores(tmp_path))
    beside = published_table(found, load_published())
    row = next(r for r in beside.rows if r[6].startswith("CORAL"))
    at = dict(zip(beside.columns, row, strict=True))
    assert row[2:7] == ["FID ↓", "6.17", "6.50 ± 0.71", "+0.33", "CORAL (arXiv 2506.15933v2)"]
    assert (at["Theirs: sampler"], at["Ours: sampler"], at["NFE"], row[8:10]) == (
        "ancestral",
        "ancestral",
        "2,000",
        ["1,000", "50,000"],
    )
    assert "ancestral sampling, which is stochastic" in beside.notes[0]
    filled = next(t for t in paper_tables(found, load_published()) if t.name == "paper-cifar10_lt")
    assert any(r[1] == "DDPM" and r[2] == "6.50 ± 0.71" for r in filled.rows)
    absent = [line for line in missing_runs(found, load_published()) if line.startswith("cifar10_lt-r0.01:")]
    assert any("CBDM" in line and "DDPM" not in line for line in absent)
    assert any("IS;" in line for line in absent)


def test_reversed_class_order_never_fills_a_papers_table(tmp_path):
    spec = make_spec("ddpm", dataset="cifar10_lt", ratio=0.01, order="reversed")
    write_scores(tmp_path / "samples" / "k" / "scores.csv", score_rows(spec, extractor="inception"))
    assert published_table(cells(load_scores(tmp_path)), load_published()) is None
