"""The metrics by name: those of the tree in the order of print, then those of installed packages.

Another package adds one by an entry point of the group ``ltbench.metrics`` that names a `Metric` (or a list).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ltbench.errors import UsageError, nearest
from ltbench.metrics.base import POOLED, Metric, Output, Scope, Value, lazily
from ltbench.plugins import ExtensionPoint

__all__ = [
    "METRICS",
    "REGISTRY",
    "Metric",
    "Output",
    "Scope",
    "Value",
    "find_output",
    "get_metric",
    "requested_metrics",
]


def _pr(name: str, suffix: str, whose: str, rank: int, description: str, **kwargs: Any) -> Metric:
    """Return improved precision and recall under one protocol."""
    return Metric(
        name,
        "features",
        ("reference", "generated"),
        lazily("manifold:precision_recall"),
        (
            Output(f"precision{suffix}", "higher", title=f"Precision{whose}", rank=rank + 1),
            Output(f"recall{suffix}", "higher", title=f"Recall{whose}", rank=rank),
        ),
        description,
        "Kynkaanniemi et al., NeurIPS 2019",
        scopes=POOLED,
        prepare=lazily("manifold:Manifold.of"),
        **kwargs,
    )


_METRICS = (
    Metric(
        "frechet",
        "features",
        ("reference", "generated"),
        lazily("frechet:frechet_distance"),
        (Output("frechet", "lower", title="FD", inception_title="FID", decimals=2, rank=0),),
        "Frechet distance between Gaussian fits (FID on Inception features; its mean over classes, macro, is iFID)",
        "Heusel et al., NeurIPS 2017",
        scopes=POOLED,
        minimum=2,
        prepare=lazily("frechet:Statistics.of"),
        quick=True,
    ),
    Metric(
        "frechet_infinity",
        "features",
        ("reference", "generated", "seed"),
        lazily("frechet:frechet_infinity"),
        (Output("frechet_infinity", "lower", title="FD∞", inception_title="FID∞", decimals=2, rank=5),),
        "Frechet distance extrapolated to infinitely many generated images: compares studies of different n",
        "Chong & Forsyth, CVPR 2020",
        settings={"sizes": 15},
        scopes=POOLED,
        minimum=200,
        default=False,
        prepare=lazily("frechet:Statistics.of"),
    ),
    _pr(
        "precision_recall",
        "",
        "",
        40,
        "improved precision and recall, k = 3, closed balls",
        settings={"k": 3},
        minimum=4,
    ),
    _pr(
        "precision_recall_cbdm",
        "_cbdm",
        " (CBDM's)",
        80,
        "improved precision and recall as CBDM's scorer: Inception, k = 5, open balls",
        settings={"k": 5, "strict": True},
        minimum=6,
        extractor="inception",
        default=False,
    ),
    _pr(
        "precision_recall_coral",
        "_coral",
        " (CORAL's)",
        70,
        "improved precision and recall as the comparison of CORAL: VGG16, k = 3, closed balls",
        settings={"k": 3},
        minimum=4,
        extractor="vgg16",
        default=False,
    ),
    _pr(
        "precision_recall_ccua",
        "_ccua",
        " (CCUA's)",
        85,
        "improved precision and recall as CCUA's scorer: Inception, k = 3, open balls",
        settings={"k": 3, "strict": True},
        minimum=4,
        extractor="inception",
        default=False,
    ),
    Metric(
        "density_coverage",
        "features",
        ("reference", "generated"),
        lazily("manifold:density_coverage"),
        (
            Output("density", "higher", rank=120),
            Output("coverage", "higher", companion=("coverage_ceiling", "Ceiling"), rank=130),
            Output("coverage_ceiling", None, auxiliary=True),
        ),
        "density and coverage, k = 5, with coverage's closed-form ceiling",
        "Naeem et al., ICML 2020",
        settings={"k": 5},
        minimum=6,
        prepare=lazily("manifold:Manifold.of"),
    ),
    Metric(
        "agreement",
        "class_logits",
        ("generated", "generated_labels"),
        lazily("agreement:agreement"),
        (Output("agreement", "higher", rank=90),),
        "share of samples that a classifier of the data set's classes assigns to their label",
        "after Ravuri & Vinyals, NeurIPS 2019",
        quick=True,
    ),
    Metric(
        "kid",
        "features",
        ("reference", "generated"),
        lazily("kernel:kernel_distance"),
        (Output("kid", "lower", title="KD", inception_title="KID", decimals=4, rank=100),),
        "kernel distance, unbiased, over all images (KID on Inception features)",
        "Binkowski et al., ICLR 2018",
        scopes=POOLED,
        minimum=2,
        prepare=lazily("kernel:KernelMean.of"),
    ),
    Metric(
        "kid_subsets",
        "features",
        ("reference", "generated", "seed"),
        lazily("kernel:kernel_distance_subsets"),
        (
            Output(
                "kid_subsets_mean",
                "lower",
                title="KD, subsets",
                inception_title="KID, subsets",
                decimals=4,
                rank=110,
            ),
            Output("kid_subsets_std", None, decimals=4, auxiliary=True),
        ),
        "kernel distance over 100 random subsets of 1000 images, as usually published",
        "Binkowski et al., ICLR 2018",
        settings={"subsets": 100, "size": 1000},
        scopes=("overall",),
        elsewhere="it is published for whole sample sets: its expectation is kid",
        minimum=1000,
        default=False,
    ),
    Metric(
        "inception_score",
        "logits",
        ("generated", "seed"),
        lazily("inception_score:inception_score"),
        (
            Output("inception_score", "higher", title="IS", inception_title="IS", decimals=2, rank=10),
            Output("inception_score_std", None, decimals=2, auxiliary=True),
        ),
        "Inception score over 10 shuffled splits (of that name on Inception's logits only)",
        "Salimans et al., NeurIPS 2016",
        settings={"splits": 10},
        scopes=("overall",),
        elsewhere="it rewards many classes: it says nothing of one",
        minimum=10,
    ),
    Metric(
        "prd",
        "features",
        ("reference", "generated", "num_classes", "seed"),
        lazily("prd:prd"),
        (
            Output("f8", "higher", title="F8", rank=20),
            Output("f1_8", "higher", title="F1/8", rank=50),
        ),
        "PRD: F8 (recall-like) and F1/8 (precision-like), 20 x K clusters, 1001 angles, 10 runs",
        "Sajjadi et al., NeurIPS 2018",
        settings={"clusters_per_class": 20, "angles": 1001, "runs": 10},
        scopes=("overall",),
        elsewhere="its 20 clusters a class are of the whole set",
        default=False,  # ten clusterings of 20 K centres, for the score and again for every floor draw
    ),
    Metric(
        "vendi",
        "features",
        ("reference", "generated"),
        lazily("diversity:vendi_score"),
        (Output("vendi", "higher", decimals=2, rank=140),),
        "Vendi score: effective number of different images in a class",
        "Friedman & Dieng, TMLR 2023",
        scopes=("class",),
    ),
    Metric(
        "memorisation",
        "features",
        ("training", "heldout", "generated"),
        lazily("memorisation:memorisation_rate"),
        (
            Output(
                "memorisation_rate",
                "lower",
                title="Memorised",
                companion=("memorisation_expected", "Expected"),
                rank=150,
            ),
            Output("memorisation_expected", None, auxiliary=True),
            Output("memorisation_p_value", None, auxiliary=True),
        ),
        "share of samples closer to a training image than held-out real images are, beside its expectation",
        "after Meehan et al., AISTATS 2020",
        version=2,  # 2: all held-out images, not equally many a class
        scopes=("class",),
        floor=False,
    ),
    Metric(
        "authpct",
        "features",
        ("training", "generated"),
        lazily("authenticity:authenticity_percent"),
        (Output("authpct", "higher", title="AuthPct", decimals=1, rank=155),),
        "share of samples farther from their nearest training image than its neighbour is, in per cent",
        "Alaa et al., ICML 2022",
        scopes=POOLED,
        minimum=2,
        default=False,
    ),
    Metric(
        "fld",
        "features",
        ("training", "heldout", "generated", "seed"),
        lazily("fld:feature_likelihood_divergence"),
        (
            Output("fld", "lower", title="FLD", decimals=2, rank=145),
            Output("fld_gap", None, title="FLD gap", decimals=2, rank=146),
        ),
        "feature likelihood divergence (published on DINOv2 ViT-B/14) and its generalisation gap",
        "Jiralerspong et al., NeurIPS 2023",
        scopes=("overall", "pooled"),
        minimum=20,
        default=False,
        floor=False,
        elsewhere="a mixture fitted to one class's few training images says nothing of it",
    ),
    Metric(
        "cmmd",
        "features",
        ("reference", "generated"),
        lazily("cmmd:cmmd"),
        (Output("cmmd", "lower", title="CMMD", rank=105),),
        "distance of CLIP embeddings under a wide Gaussian kernel: compares means, blind to diversity",
        "Jayasumana et al., CVPR 2024",
        scopes=POOLED,
        extractor="clip_l14_336",
        default=False,
    ),
    Metric(
        "sfid",
        "features",
        ("reference", "generated"),
        lazily("frechet:frechet_distance"),
        (Output("sfid", "lower", title="sFID", decimals=2, rank=15),),
        "Frechet distance on 2,023 numbers of an inner Inception layer, which keep where things are",
        "Nash et al., ICML 2021",
        scopes=("overall", "pooled"),
        minimum=2024,
        extractor="inception_mixed_6",
        default=False,
        prepare=lazily("frechet:Statistics.of"),
        elsewhere="it needs more images than its 2,023 dimensions, which no class has",
    ),
    Metric(
        "cas",
        "images",
        ("generated", "generated_labels", "heldout", "heldout_labels", "num_classes", "seed"),
        lazily("cas:classification_accuracy_score"),
        (
            Output("cas", "higher", title="CAS", rank=160),
            Output("cas_class", "higher", per_class=True, title="CAS", rank=161),
        ),
        "classification accuracy score: a small CNN trained on samples, tested on held-out real images",
        "Ravuri & Vinyals, NeurIPS 2019",
        version=2,  # 2: all held-out images, not equally many a class
        settings={"steps": 1000},
        scopes=("overall",),
        minimum=2,
        default=False,
        floor=False,
    ),
    Metric(
        "entanglement",
        "bottleneck",
        ("features", "labels", "train_counts", "seed"),
        lazily("entanglement:entanglement"),
        (
            Output("knn_accuracy", "higher"),
            Output("silhouette", "higher"),
            Output("scatter_ratio", "higher"),
            Output("head_tail_confusion", "lower"),
            Output("linear_probe", "higher"),
        ),
        "how well the bottleneck tells the classes apart (five figures)",
        "after CORAL, NeurIPS 2025",
        settings={"k": 5},
        scopes=("overall",),
        minimum=10,
    ),
)


def _check(metric: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a metric of the registry."""
    if not isinstance(metric, Metric):
        raise TypeError(f"{metric!r} is no ltbench.metrics.base.Metric")
    if not metric.outputs or not metric.inputs:
        raise ValueError(f"{metric.name} has no inputs or no outputs")
    if not {"overall", "class", "pooled"} >= set(metric.scopes) or not metric.scopes:
        raise ValueError(f"{metric.name}: scopes are overall, class and pooled, not {metric.scopes}")
    if not callable(metric.function):
        raise TypeError(f"{metric.name}: its function cannot be called")
    outputs = {output.name for output in metric.outputs}
    taken = outputs & {o.name for other in _METRICS if other is not metric for o in other.outputs}
    if taken or any("." in name for name in outputs):
        raise ValueError(f"{metric.name}: the number {min(taken or outputs)!r} is taken or holds a dot")


METRICS: ExtensionPoint[Metric] = ExtensionPoint(
    "metric",
    group="ltbench.metrics",
    name_of=lambda metric: metric.name,
    check=_check,
    built_in=lambda: [("ltbench.metrics", metric) for metric in _METRICS],
)


class _Ordered(Mapping[str, Metric]):
    """All metrics by name, the tree's in the order of print; found at the first question."""

    def __getitem__(self, name: str) -> Metric:
        return METRICS.all()[name]

    def __iter__(self) -> Iterator[str]:
        in_tree = [metric.name for metric in _METRICS]
        return iter([*in_tree, *(name for name in METRICS.all() if name not in in_tree)])

    def __len__(self) -> int:
        return len(METRICS.all())


REGISTRY: Mapping[str, Metric] = _Ordered()


def get_metric(name: str) -> Metric:
    """Return the metric called ``name``, or say which name is closest.

    Raises
    ------
    UsageError
        No such metric.
    """
    if name not in METRICS and name not in METRICS.broken():
        raise UsageError(f"no metric called {name!r}{nearest(name, REGISTRY)}")
    return METRICS[name]


def find_output(name: str) -> Output | None:
    """Return the output called ``name`` of any metric, such as ``recall``; None where there is none."""
    return next((o for metric in REGISTRY.values() for o in metric.outputs if o.name == name), None)


def requested_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of a request; ``default``: the quick ones on any extractor, ``all``: every one on any
    extractor (a paper's protocol, which fixes its extractor and so needs that one's weights, goes by name)."""
    chosen: dict[str, Metric] = {}
    for name in names:
        if name == "all":
            chosen |= {m.name: m for m in REGISTRY.values() if m.extractor is None}
        elif name == "default":
            chosen |= {m.name: m for m in REGISTRY.values() if m.default}
        else:
            chosen[name] = get_metric(name)
    return list(chosen.values())
