"""From a run to a folder for diffusers: the same outputs, the card, and back again."""

import re

import pandas as pd
import pytest
import torch
from diffusers import UNet2DModel
from huggingface_hub import ModelCard
from official_files import CBDM, check_golden_outputs

from ltbench.cli.exchange import export_network
from ltbench.errors import CheckpointError, LtbenchError, UsageError
from ltbench.interop.import_run import import_run
from ltbench.runs.layout import kept_steps, weights_path
from ltbench.runs.weights import load_weights


@pytest.mark.parametrize(("weights", "theirs"), [("ema", "ema"), ("raw", "net")])
def test_an_exported_network_computes_the_golden_outputs_in_diffusers(cbdm, tmp_path, weights, theirs):
    export_network(cbdm[1], tmp_path / "out", None, weights)
    unet = UNet2DModel.from_pretrained(tmp_path / "out").eval()
    check_golden_outputs(lambda *inputs: unet(*inputs).sample, theirs)


def test_the_card_states_data_method_protocol_and_scores(cbdm, tmp_path):
    _, folder, spec = cbdm
    card = text_of(folder, tmp_path / "bare")
    assert "None are stored." in card
    card = scored_card(folder, spec, tmp_path / "scored")
    data = ModelCard(card).data
    assert data.library_name == "diffusers"
    assert "long-tailed" in data.tags
    results = {r.metric_name: r for r in data.eval_results}
    assert results["frechet (overall, inception)"].metric_value == 12.5
    assert results["frechet (tail, inception)"].metric_args["sampler"] == "ancestral"
    assert (
        results["frechet (overall, inception)"].dataset_args["imbalance_ratio"] == spec.data.imbalance_ratio
    )
    for words in (
        "folder_lt",
        "Qin et al.",
        "gamma=0.25",
        "1,000 steps",
        "does not tell how it was trained; assumed: Adam 0.0002, batch 128",
        spec.train.imported[:16],
    ):
        assert words in card
    assert (
        "| overall | frechet | inception | folder_lt | 12.5 | 3.25 | 50000 | 50000 | ancestral | 2000 | 1 | 0 |"
        in card
    )
    assert "| tail | frechet | inception | folder_lt | 40 |  |" in card
    assert "label 10: no label" in card
    assert "| 7 " not in card


def test_each_reference_has_its_own_floor_on_the_card(cbdm, tmp_path):
    """A run evaluated again with ``--reference heldout``: the last floor stood beside both."""
    _, folder, spec = cbdm
    other = {"reference": "folder_lt, held-out", "reference_hash": "h", "n_reference": 900}
    card = scored_card(folder, spec, tmp_path / "scored", (other, 20.5, 9.75))
    assert "| inception | folder_lt | 12.5 | 3.25 | 50000 | 50000 |" in card
    assert "| inception | folder_lt, held-out | 20.5 | 9.75 | 50000 | 900 |" in card
    results = {r.metric_value: r.metric_args for r in ModelCard(card).data.eval_results}
    assert results[12.5]["reference"] == "folder_lt"
    assert results[20.5]["reference"] == "folder_lt, held-out"


def test_a_distance_to_a_statistics_file_is_on_the_card_without_a_number_of_images(cbdm, tmp_path):
    _, folder, spec = cbdm
    file = {"reference": "theirs (statistics)", "reference_hash": "s", "n_reference": None}
    card = scored_card(folder, spec, tmp_path / "scored", (file, 30.5, None))
    assert "| inception | theirs (statistics) | 30.5 |  | 50000 |  |" in card
    (found,) = [r for r in ModelCard(card).data.eval_results if r.metric_value == 30.5]
    assert "n_reference" not in found.metric_args


@pytest.mark.parametrize("shared", ["export", "ema only", "ddp"])
def test_an_exported_network_and_shared_files_are_imported_again(cbdm, ten, tmp_path, shared):
    """What others share of a network: a folder for diffusers, averaged weights alone, DataParallel's names."""
    _, folder, _ = cbdm
    path = tmp_path / "shared.pt"
    if shared == "export":
        path = tmp_path / "shared"
        export_network(folder, path, None, "ema")
    elif shared == "ema only":
        torch.save(
            {k: v for k, v in torch.load(CBDM, weights_only=True).items() if k in ("ema_model", "fixed_x_T")},
            path,
        )
    else:
        content = torch.load(CBDM, weights_only=True)
        ema = {f"module.{k}": v for k, v in content["ema_model"].items()}
        torch.save(content | {"ema_model": ema}, path)
    import_run(path, "cbdm", tmp_path / "runs", dataset="folder_lt", step=1000, data_root=ten)
    (back,) = (p.parent for p in (tmp_path / "runs").glob("*/spec.json"))
    assert torch.equal(
        read_ema(back)["denoiser.unet.conv_in.weight"], read_ema(folder)["denoiser.unet.conv_in.weight"]
    )


def read_ema(folder):
    return load_weights(weights_path(folder, kept_steps(folder)[-1]), "ema")


def text_of(folder, target):
    export_network(folder, target, None, "ema")
    return (target / "README.md").read_text()


def scored_card(folder, spec, target, *further):
    """Return the card of a run while it has stored scores (`write_scores`)."""
    samples = folder / "samples" / "0123abcd"
    write_scores(samples / "scores.csv", spec, further)
    try:
        return text_of(folder, target)
    finally:
        (samples / "scores.csv").unlink()
        samples.rmdir()


def write_scores(path, spec, further):
    """Write one set's scores; `further`: (columns, value, floor or None) of distances to other references."""
    from ltbench.runs.score_columns import COLUMNS, run_columns

    common = run_columns(spec, 2000) | {
        "metric": "frechet",
        "definition": "frechet/1",
        "extractor": "inception",
    }
    common |= {"n_reference": 50000, "n_generated": 50000, "nfe": 2000, "guidance": 1.0, "class_or_group": ""}
    common |= {"extractor_hash": "e", "reference_hash": "r", "n_train": 12406, "reference": "folder_lt"}
    rows = [
        common | {"scope": "overall", "value": 12.5},
        common | {"scope": "overall", "value": 3.25, "metric": "frechet.floor"},
        common | {"scope": "group", "class_or_group": "tail", "value": 40.0},
        common | {"scope": "class", "class_or_group": "7", "value": 55.0},
    ]
    for columns, value, floor in further:
        rows.append(common | columns | {"scope": "overall", "value": value})
        if floor is not None:
            rows.append(rows[-1] | {"value": floor, "metric": "frechet.floor"})
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).reindex(columns=list(COLUMNS)).to_csv(path, index=False)


def test_what_cannot_be_exported_is_refused(cbdm, tmp_path):
    _, folder, _ = cbdm
    cases = [
        ((tmp_path, tmp_path / "x", None, "ema"), "is no training's folder"),
        ((folder, tmp_path / "x", 7, "ema"), "keeps no weights of step 7: there are 1000"),
        ((folder, tmp_path / "x", None, "net"), "--weights takes ema or raw"),
        ((folder, folder / "spec.json", None, "ema"), "spec.json is a file: give a folder with --to"),
    ]
    for arguments, says in cases:
        with pytest.raises(UsageError, match=re.escape(says)):
            export_network(*arguments)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "spec.json").write_text((folder / "spec.json").read_text())
    with pytest.raises(UsageError, match="has no weights yet"):
        export_network(bare, tmp_path / "x", None, "ema")
    (bare / "spec.json").write_text('{"origin": "external", "data": {}}')
    with pytest.raises(UsageError, match="there is no network to export"):
        export_network(bare, tmp_path / "x", None, "ema")
    (bare / "spec.json").write_text('{"data": {"dataset": 3}}')
    with pytest.raises(CheckpointError, match="no run of this version"):
        export_network(bare, tmp_path / "x", None, "ema")
    broken = tmp_path / "broken"
    (broken / "weights").mkdir(parents=True)
    (broken / "spec.json").write_text((folder / "spec.json").read_text())
    whole = (folder / "weights" / "step-00001000.safetensors").read_bytes()
    (broken / "weights" / "step-00001000.safetensors").write_bytes(whole[:5000])
    with pytest.raises(LtbenchError, match="are broken"):
        export_network(broken, tmp_path / "x", None, "ema")
    assert not (tmp_path / "x").exists()
