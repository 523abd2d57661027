"""What is measured of a sample set, and a run: one training, one sample set drawn from it, its scores."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from ltbench.specs.sampling import SampleSpec
from ltbench.specs.training import STORED, DataSpec, Frozen, MethodSpec, ModelSpec, TrainSpec


class ScoreSpec(Frozen):
    """What is measured; not part of any stage's key: each number carries its own definition."""

    extractors: tuple[str, ...] = Field(("auto",), description="feature extractors; auto: the data set's own")
    resize: Literal["own", "legacy", "clean"] = Field(
        "own",
        description="resizing before Inception: legacy, the papers' (FID), or clean; own: as the extractor's name says",
    )
    metrics: tuple[str, ...] = Field(("default",), description="see `ltbench metrics`")
    floor_draws: int = Field(10, ge=1, le=10_000, description="repeated draws of the real-vs-real floor")
    groups: tuple[str, ...] = Field(
        ("auto",),
        description="groupings of classes: thirds, shots, cm, ccua, utlo; auto: the data set's own; none",
    )
    bootstrap: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="bootstrap replicates over images; unset: 100 where they are cheap; 0: none",
    )
    reference: Literal["balanced", "heldout", "longtail"] = Field(
        "balanced",
        description="real images compared with: equally many a class, held-out ones, or the training set",
    )
    probes: bool = Field(False, description="measure the bottleneck's entanglement")
    snapshot_images: int = Field(
        0,
        ge=0,
        description="images a class sampled and scored at each of train.snapshots, as a curve; 0: none",
    )
    reference_half: Literal["none", "first", "second"] = Field(
        "none",
        description="compare with one half of the reference only: tune with one, report with the other",
    )

    @field_validator("bootstrap")
    @classmethod
    def _has_a_spread(cls, replicates: int | None) -> int | None:
        if replicates == 1:
            raise ValueError("one replicate has no spread: give 0, or at least 2")
        return replicates


class RunSpec(Frozen):
    """One training, one sample set drawn from it, and what is scored on it."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    method: MethodSpec = MethodSpec()
    train: TrainSpec = TrainSpec()
    train_seed: int = Field(0, ge=0, description="seed of initial weights, order, noise and times")
    sample: SampleSpec = SampleSpec()
    score: ScoreSpec = ScoreSpec()

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "RunSpec":
        """Return the run that a file of results or a saved plan states; unknown tables are left out.

        A default may have changed since the file was written, so files are read here and not by
        `model_validate`, which fills in today's.
        """
        known = {key: value for key, value in content.items() if key in cls.model_fields}
        if isinstance(known.get("sample"), Mapping):
            known["sample"] = SampleSpec.stored(known["sample"])
        if isinstance(score := known.get("score"), Mapping) and score.get("bootstrap") == 1:
            known["score"] = {**score, "bootstrap": 0}  # was taken once, and no interval came of it
        return cls.model_validate(known, context=STORED)
