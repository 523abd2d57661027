"""The metrics by name: what each needs, where it applies and what it returns, so that scoring names none.

A metric is a pure function on arrays of one extractor's output. `Metric.inputs` says which arguments it
takes, out of this vocabulary (rows are images, already cut to the scope being scored):

    reference, generated           arrays of `Metric.needs`: real images scored against; the samples
    training, heldout              the same kind: the long-tailed training images; real images in neither
    features                       for probes: bottleneck features of balanced held-out real images
    labels, generated_labels, heldout_labels   (n,) int64 class labels of features, generated, heldout
    train_counts                   (K,) images a class in the training set
    num_classes                    K of the data set
    seed                           for metrics that draw (clusterings, subsets, trainings)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ltbench.errors import UsageError, nearest
from ltbench.metrics.agreement import agreement
from ltbench.metrics.cas import classification_accuracy_score
from ltbench.metrics.diversity import vendi_score
from ltbench.metrics.entanglement import entanglement
from ltbench.metrics.frechet import Statistics, frechet_distance
from ltbench.metrics.inception_score import inception_score
from ltbench.metrics.kernel import KernelMean, kernel_distance, kernel_distance_subsets
from ltbench.metrics.manifold import Manifold, density_coverage, precision_recall
from ltbench.metrics.memorisation import memorisation_rate
from ltbench.metrics.prd import prd

Scope = Literal["overall", "class", "group"]
Value = float | np.ndarray

_EVERY: tuple[Scope, ...] = ("overall", "group", "class")


@dataclass(frozen=True)
class Output:
    """One number that a metric returns.

    Attributes
    ----------
    name : the name in ``scores.csv``.
    better : which direction is better; None where neither is (a ceiling, an expected rate).
    per_class : the value is (K,), one number a class, from one computation on the whole set.
    """

    name: str
    better: Literal["higher", "lower"] | None
    per_class: bool = False


@dataclass(frozen=True)
class Metric:
    """A metric's definition.

    Attributes
    ----------
    name : registry name.
    needs : what it is computed on: ``features``; ``logits`` of any classifier; ``class_logits`` of a
        classifier of the data set's own classes; ``images`` (uint8, N,C,H,W); ``bottleneck`` (pooled features
        of the trained network, for the probe stage).
    inputs : names of the arguments it takes, see the module.
    function : (**inputs, **settings) -> a float, or a dict of as many values as `outputs`, in their order.
    outputs : the numbers it returns.
    description : one line.
    source : the paper it is defined in.
    version : bumped whenever the same arrays would give another number.
    settings : fixed keyword arguments; part of the definition.
    scopes : where it may be computed.
    minimum : fewest images of each input.
    extractor : the one extractor of a named protocol, or None for any.
    default : part of the set measured when the user names none.
    prepare : reference -> an object that ``function`` takes in its place, worth keeping when one reference
        meets many sets (methods, floor draws, bootstrap replicates).
    """

    name: str
    needs: Literal["features", "logits", "class_logits", "images", "bottleneck"]
    inputs: tuple[str, ...]
    function: Callable[..., Any]
    outputs: tuple[Output, ...]
    description: str
    source: str
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scopes: tuple[Scope, ...] = _EVERY
    minimum: int = 1
    extractor: str | None = None
    default: bool = True
    prepare: Callable[[Any], Any] | None = None

    @property
    def definition(self) -> str:
        """Name and version, such as ``frechet/1``; stands with every number."""
        return f"{self.name}/{self.version}"

    def __call__(self, **available: Any) -> dict[str, Value]:
        """Return output name -> value, taking this metric's inputs out of ``available``."""
        value = self.function(**{name: available[name] for name in self.inputs}, **self.settings)
        values = list(value.values()) if isinstance(value, dict) else [value]
        return {output.name: v for output, v in zip(self.outputs, values, strict=True)}


def _pr(name: str, suffix: str, description: str, **kwargs: Any) -> Metric:
    return Metric(
        name,
        "features",
        ("reference", "generated"),
        precision_recall,
        (Output(f"precision{suffix}", "higher"), Output(f"recall{suffix}", "higher")),
        description,
        "Kynkaanniemi et al., NeurIPS 2019",
        prepare=Manifold.of,
        **kwargs,
    )


_METRICS = (
    Metric(
        "frechet",
        "features",
        ("reference", "generated"),
        frechet_distance,
        (Output("frechet", "lower"),),
        "Frechet distance between Gaussian fits (FID on Inception features)",
        "Heusel et al., NeurIPS 2017",
        minimum=2,
        prepare=Statistics.of,
    ),
    _pr(
        "precision_recall",
        "",
        "improved precision and recall, k = 3, closed balls",
        settings={"k": 3},
        minimum=4,
    ),
    _pr(
        "precision_recall_cbdm",
        "_cbdm",
        "improved precision and recall as CBDM's scorer: Inception, k = 5, open balls",
        settings={"k": 5, "strict": True},
        minimum=6,
        extractor="inception",
        default=False,
    ),
    _pr(
        "precision_recall_coral",
        "_coral",
        "improved precision and recall as the comparison of CORAL: VGG16, k = 3, closed balls",
        settings={"k": 3},
        minimum=4,
        extractor="vgg16",
        default=False,
    ),
    Metric(
        "density_coverage",
        "features",
        ("reference", "generated"),
        density_coverage,
        (Output("density", "higher"), Output("coverage", "higher"), Output("coverage_ceiling", None)),
        "density and coverage, k = 5, with coverage's closed-form ceiling",
        "Naeem et al., ICML 2020",
        settings={"k": 5},
        minimum=6,
        prepare=Manifold.of,
    ),
    Metric(
        "agreement",
        "class_logits",
        ("generated", "generated_labels"),
        agreement,
        (Output("agreement", "higher"),),
        "share of samples that a classifier of the data set's classes assigns to their label",
        "after Ravuri & Vinyals, NeurIPS 2019",
    ),
    Metric(
        "kid",
        "features",
        ("reference", "generated"),
        kernel_distance,
        (Output("kid", "lower"),),
        "kernel distance, unbiased, over all images (KID on Inception features)",
        "Binkowski et al., ICLR 2018",
        minimum=2,
        prepare=KernelMean.of,
    ),
    Metric(
        "kid_subsets",
        "features",
        ("reference", "generated", "seed"),
        kernel_distance_subsets,
        (Output("kid_subsets_mean", "lower"), Output("kid_subsets_std", None)),
        "kernel distance over 100 random subsets of 1000 images, as usually published",
        "Binkowski et al., ICLR 2018",
        settings={"subsets": 100, "size": 1000},
        scopes=("overall",),
        minimum=1000,
        default=False,
    ),
    Metric(
        "inception_score",
        "logits",
        ("generated", "seed"),
        inception_score,
        (Output("inception_score", "higher"), Output("inception_score_std", None)),
        "Inception score over 10 shuffled splits (of that name on Inception's logits only)",
        "Salimans et al., NeurIPS 2016",
        settings={"splits": 10},
        scopes=("overall",),
        minimum=10,
    ),
    Metric(
        "prd",
        "features",
        ("reference", "generated", "num_classes", "seed"),
        prd,
        (Output("f8", "higher"), Output("f1_8", "higher")),
        "PRD: F8 (recall-like) and F1/8 (precision-like), 20 x K clusters, 1001 angles, 10 runs",
        "Sajjadi et al., NeurIPS 2018",
        settings={"clusters_per_class": 20, "angles": 1001, "runs": 10},
        scopes=("overall",),
        default=False,  # ten clusterings of 20 K centres, for the score and again for every floor draw
    ),
    Metric(
        "vendi",
        "features",
        ("reference", "generated"),
        vendi_score,
        (Output("vendi", "higher"),),
        "Vendi score: effective number of different images in a class",
        "Friedman & Dieng, TMLR 2023",
        scopes=("class",),
    ),
    Metric(
        "memorisation",
        "features",
        ("training", "heldout", "generated"),
        memorisation_rate,
        (
            Output("memorisation_rate", "lower"),
            Output("memorisation_expected", None),
            Output("memorisation_p_value", None),
        ),
        "share of samples closer to a training image than held-out real images are, beside its expectation",
        "after Meehan et al., AISTATS 2020",
        scopes=("class",),
    ),
    Metric(
        "cas",
        "images",
        ("generated", "generated_labels", "heldout", "heldout_labels", "num_classes", "seed"),
        classification_accuracy_score,
        (Output("cas", "higher"), Output("cas_class", "higher", per_class=True)),
        "classification accuracy score: a small CNN trained on samples, tested on held-out real images",
        "Ravuri & Vinyals, NeurIPS 2019",
        settings={"steps": 1000},
        scopes=("overall",),
        minimum=2,
        default=False,
    ),
    Metric(
        "entanglement",
        "bottleneck",
        ("features", "labels", "train_counts", "seed"),
        entanglement,
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

REGISTRY: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _METRICS})


def get_metric(name: str) -> Metric:
    """Return the metric called ``name``, or say which name is closest.

    Raises
    ------
    UsageError
        No such metric.
    """
    if name not in REGISTRY:
        raise UsageError(f"no metric called {name!r}{nearest(name, REGISTRY)}")
    return REGISTRY[name]
