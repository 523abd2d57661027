"""Export: from a run's weights to a folder that diffusers loads, with a model card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from ltbench.data import get_source
from ltbench.diffusion.unet import Denoiser
from ltbench.errors import UsageError
from ltbench.interop.diffusers_folder import export_diffusers
from ltbench.method.registry import create
from ltbench.runs.layout import kept_steps, weights_path
from ltbench.runs.provenance import read_provenance
from ltbench.runs.run import read_run
from ltbench.runs.spec_files import read_trained
from ltbench.runs.weights import load_weights
from ltbench.specs import DataSpec, RunSpec, train_key
from ltbench.training.model import load_model, merged_denoiser

_PLACE = ["sample_key", "scope", "class_or_group", "extractor_hash", "reference_hash", "definition"]


def export_run(folder: Path, target: Path, step: int | None = None, weights: str = "ema") -> int:
    """Write a run's network for diffusers with a model card; return the step exported.

    Parameters
    ----------
    folder
        A training's folder.
    target
        Created when missing.
    step
        Default: the last whose weights are kept.
    weights
        ``ema``, averaged, or ``raw``, the last.

    Raises
    ------
    UsageError, CheckpointError
        No training's folder, no such step, or broken weights.
    """
    if weights not in ("ema", "raw"):
        raise UsageError(f"--weights takes ema or raw, not {weights!r}")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file: give a folder with --to")
    spec = read_trained(folder, "export")
    kept = kept_steps(folder)
    if not kept:
        raise UsageError(f"{folder} has no weights yet: finish its training first")
    chosen = kept[-1] if step is None else step
    if chosen not in kept:
        raise UsageError(f"{folder} keeps no weights of step {chosen}: there are {', '.join(map(str, kept))}")
    at_step = spec.model_copy(update={"train": spec.train.model_copy(update={"steps": chosen})})
    model = load_model(at_step, folder, _facts(at_step, folder, weights), which=weights)
    denoiser = merged_denoiser(spec, model)
    export_diffusers(denoiser, target, model_card(spec, folder, denoiser, chosen, weights))
    return chosen


@dataclass(frozen=True)
class _Facts:
    """What the network needs of its data, read off its weights: no data files are needed."""

    shape: tuple[int, int, int]
    num_classes: int
    prior: Any = None  # only the exact network asks for it, and that is no U-Net to export


def _facts(spec: RunSpec, folder: Path, which: str) -> _Facts:
    state = load_weights(weights_path(folder, spec.train.steps), which, train_key(spec))
    source = get_source(spec.data.dataset)
    classes, channels, size = source.num_classes, source.channels, source.size(spec.data.image_size)
    # A method may have renamed them by putting a part around; a folder's source does not state them.
    if (table := state.get("denoiser.unet.class_embedding.weight")) is not None:
        classes = len(table)
    if (first := state.get("denoiser.unet.conv_in.weight")) is not None:
        channels = first.shape[1]
    return _Facts((channels, size, size), classes)


def model_card(spec: RunSpec, folder: Path, denoiser: Denoiser, step: int, weights: str) -> str:
    """Return the model card: how to use the network, data, method, protocol and scores with their floors."""
    data, train = spec.data, spec.train
    source = get_source(data.dataset)
    channels, size, _ = denoiser.shape
    origin = (
        f", imported from the authors' checkpoint (sha256 {train.imported[:16]})" if train.imported else ""
    )
    lines = [
        "---",
        _metadata(spec, folder, step),
        "---",
        f"# {spec.method.name} on {data.dataset}, ratio {data.imbalance_ratio:g}",
        "",
        f"A class-conditional denoiser for {channels} x {size} x {size} images of {denoiser.num_classes} classes, trained "
        f"{step:,} steps with seed {spec.train_seed}{origin} and exported by ltbench ({weights} weights).",
        "",
        *_usage(denoiser.num_classes),
        "",
        "## Data",
        "",
        f"{source.title}: {_cell(data)}{_manifest(folder)}. Licence of the images: {source.licence}.",
        "",
        "## Method",
        "",
        *_method_lines(spec),
        "",
        "## Scores",
        "",
        *_score_lines(folder, step),
    ]
    return "\n".join(lines) + "\n"


def _usage(num_classes: int) -> list[str]:
    return [
        "```python",
        "from diffusers import UNet2DModel",
        'unet = UNet2DModel.from_pretrained("FOLDER").eval()      # or, images at once:',
        "# from ltbench.interop.pipeline import ClassConditionalPipeline",
        '# ClassConditionalPipeline.from_pretrained("FOLDER")([0, 1], guidance_scale=1.0).images',
        "eps_c = unet(x_t, t, y).sample                            # x_t in [-1, 1], t in 0..999",
        f"eps_u = unet(x_t, t, torch.full_like(y, {num_classes})).sample{' ' * 9}# label {num_classes}: no label",
        "eps = eps_c + omega * (eps_c - eps_u)",
        "```",
        "",
        "Noise levels: abar_t = prod(1 - beta), beta linear from 1e-4 to 0.02 in 1000 steps.",
    ]


def _cell(data: DataSpec) -> str:
    """Return a data cell in words."""
    words = [
        f"imbalance ratio {data.imbalance_ratio:g}",
        f"profile {data.profile}",
        f"class order {data.class_order}",
        f"split seed {data.split_seed}",
    ]
    if data.head_count:
        words.append(f"head count {data.head_count}")
    return ", ".join(words)


def _method_lines(spec: RunSpec) -> list[str]:
    """Return a line for each part of the method, and how it was trained."""
    train, lines = spec.train, []
    for name, part in create(spec.method.name, spec.method.hyperparameters).parts:
        settings = ", ".join(f"{key}={value}" for key, value in vars(part.hp).items())
        lines.append(f"- {name}: {part.paper}{f' ({settings})' if settings else ''}")
    assumed = "The checkpoint does not tell how it was trained; assumed: " if train.imported else ""
    return [
        *lines,
        "",
        f"{assumed}Adam {train.learning_rate:g}, batch {train.batch_size}, warm-up {train.warmup_steps}, gradient clip "
        f"{train.grad_clip:g}, EMA {train.ema_decay:g}, label dropout {train.label_dropout:g} a {train.label_dropout_mode}, "
        f"flips {'on' if train.flip else 'off'}, dropout {spec.model.dropout:g}, {train.precision}.",
    ]


def _metadata(spec: RunSpec, folder: Path, step: int) -> str:
    """Return the card's metadata in the hub's format, with the scores as its evaluation results."""
    name = f"{spec.method.name} on {spec.data.dataset}, ratio {spec.data.imbalance_ratio:g}"
    cell = {
        k: v for k, v in spec.data.model_dump(mode="json", exclude_defaults=True).items() if k != "dataset"
    }
    rows, _ = _scores(folder, step)
    results = [
        EvalResult(
            task_type="unconditional-image-generation",
            task_name="class-conditional image generation",
            dataset_type=spec.data.dataset,
            dataset_name=f"{get_source(spec.data.dataset).title}, ratio {spec.data.imbalance_ratio:g}",
            dataset_args=cell | {"imbalance_ratio": spec.data.imbalance_ratio},
            metric_type=row["metric"],
            metric_name=f"{row['metric']} ({row['class_or_group'] or 'overall'}, {row['extractor']})",
            metric_value=round(row["value"], 6),
            metric_args={
                "sampler": row["sampler"],
                "nfe": int(row["nfe"]) if row["nfe"] == int(row["nfe"]) else row["nfe"],
                "guidance": row["guidance"],
                **({"guidance_rule": row["rule"]} if row["rule"] else {}),
                "n_generated": int(row["n_generated"]),
                "reference": row["reference"],
                # A statistics file does not say of how many images it is.
                **({"n_reference": int(row["n_reference"])} if row["n_reference"] > 0 else {}),
                "sample_seed": int(row["sample_seed"]),
            },
        )
        for row in rows.to_dict("records")
        if row["value"] == row["value"]
    ]
    return ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["diffusion", "long-tailed", "class-conditional"],
        model_name=name,
        eval_results=results or None,
    ).to_yaml()


def _manifest(folder: Path) -> str:
    recorded = read_provenance(folder).get("stages", [])
    found = [stage["manifest"] for stage in recorded if stage.get("manifest")]
    return f", manifest {found[-1][:16]}" if found else ""


def _scores(folder: Path, step: int) -> tuple[pd.DataFrame, dict[tuple[object, ...], float]]:
    """Return the stored overall and group scores of a step, and their floors by place and metric."""
    rows = read_run(folder).scores()
    if not len(rows):
        return rows, {}
    rows = rows[(rows["step"] == step) & rows["scope"].isin(("overall", "group"))]
    floors = rows[rows["metric"].str.endswith(".floor")]
    floor_of = {
        (*key, row["metric"].removesuffix(".floor")): row["value"]
        for key, row in zip(floors[_PLACE].itertuples(index=False), floors.to_dict("records"), strict=True)
    }
    return rows[~rows["metric"].str.contains(".", regex=False)], floor_of


def _score_lines(folder: Path, step: int) -> list[str]:
    """Return a Markdown table of the stored overall and group scores of a step, floors beside them."""
    shown, floor_of = _scores(folder, step)
    if not len(shown):
        return ["None are stored."]
    out = [
        "| scope | metric | extractor | reference | value | floor | generated | real | sampler | NFE | guidance | seed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, row in zip(shown[_PLACE].itertuples(index=False), shown.to_dict("records"), strict=True):
        floor = floor_of.get((*key, row["metric"]))
        real = f"{row['n_reference']:.0f}" if row["n_reference"] > 0 else ""
        guidance = ", ".join(filter(None, (format(row["guidance"], "g"), row["rule"])))
        out.append(
            f"| {row['class_or_group'] or 'overall'} | {row['metric']} | {row['extractor']} | {row['reference']} | "
            f"{row['value']:.4g} | {'' if floor is None else f'{floor:.4g}'} | {row['n_generated']:.0f} | "
            f"{real} | {row['sampler']} | {row['nfe']:g} | {guidance} | {row['sample_seed']:.0f} |"
        )
    out += ["", "Floor: held-out real images in the samples' place, at the same number of images."]
    if rules := sorted(set(shown["rule"]) - {""}):
        out += [
            "",
            f"The scores with {'; '.join(rules)} beside their scale were sampled by that rule of guidance. This folder's "
            "pipeline does plain guidance; a rule that goes by the noise alone is a function for its guidance_scale "
            "(ltbench.interop.pipeline.omega_of_time), and a weaker network is not part of the folder.",
        ]
    return out
