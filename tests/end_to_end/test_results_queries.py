"""What the results' pages ask of the scores, against three numbers by hand."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from ltbench.data.longtail import class_sizes

RESULTS = Path(__file__).resolve().parents[2] / "results"
sys.path.insert(0, str(RESULTS))
import exposure  # noqa: E402 - they lie beside the bundles
import study  # noqa: E402

SDE, ODE = "sde-dpmsolver++", "dpmsolver++"


def rows(method, values, sampler=SDE, guidance=0.0, rule="", scope="overall", place="", metric="frechet"):
    columns = (
        "method",
        "variant",
        "train_seed",
        "value",
        "sampler",
        "guidance",
        "rule",
        "scope",
        "class_or_group",
    )
    table = [(method, "", seed, v, sampler, guidance, rule, scope, place) for seed, v in enumerate(values)]
    return pd.DataFrame(table, columns=columns).assign(metric=metric, imbalance_ratio=0.1, step=1500)


def asked(*tables):
    """Return a study of hand-made scores."""
    made = study.Study(Path("by-hand"))
    made.__dict__["scores"] = pd.concat(tables)  # where the bundle's are kept once they are read
    return made


def test_a_mean_a_difference_and_its_interval_by_hand():
    one = asked(rows("ddpm", [1.0, 2.0, 3.0]), rows("coral", [0.0, 2.0, 1.0]))
    assert one.mean("ddpm") == "2.00 ± 1.00"
    assert one.sd("ddpm") == "1.00"
    assert one.seeds() == 3
    half = t.ppf(0.975, 2) * 1 / np.sqrt(3)  # differences -1, 0, -2: mean -1, sd 1
    assert one.diff("coral") == f"-1.00 [{-1 - half:+.2f}, {-1 + half:+.2f}], 2 of 3 seeds"
    back = one.diff("ddpm", "coral")
    assert back == f"+1.00 [{1 - half:+.2f}, {1 + half:+.2f}], 2 of 3 seeds"
    assert one.diverged("ddpm", over=2.0) == 1  # above the bound, not at it


def test_the_best_scales_are_compared_seed_by_seed_and_the_lowest_of_all_is_found():
    one = asked(
        rows("ddpm", [3.0, 4.0]),
        rows("ddpm", [1.0, 2.0], guidance=0.5),
        rows("coral", [1.5, 3.5]),
        rows("coral", [5.0, 7.0], guidance=0.5),
    )
    scales = (0.0, 0.5)
    assert one.best("coral", scales=scales) == (0.0, 2.5)
    half = t.ppf(0.975, 1) * 0.5  # differences 0.5 and 1.5: mean 1, sd .71 over root 2
    assert one.best_diff("coral", scales=scales) == f"+1.00 [{1 - half:+.2f}, {1 + half:+.2f}], 2 of 2 seeds"
    assert one.lowest(["ddpm", "coral"], [1500, 3000], scales, "overall") == ("ddpm", 1500, 0.5)


def test_lengths_are_told_by_seeds_and_by_what_is_shown():
    long = rows("coral", [0.0, 1.0, 2.0]).assign(step=6000)
    one = asked(
        rows("ddpm", [5.0, 6.0, 7.0]),
        rows("coral", [1.0, 2.1, 2.9]),
        long,
        rows("ddpm", [1.0, 0.0, 2.0]).assign(step=6000),
        rows("t2h", [1.0, 1.0, 1.0]),
    )
    assert one.shown_steps("coral", [1500, 6000]) == [1500]  # -4, -3.9, -4.1; then -1, 1, 0
    named = {"ddpm": "DDPM", "coral": "CORAL", "t2h": "T2H"}
    assert one.reach(named, 3, 1500) == "DDPM and CORAL to 4 times, T2H to 1 times"


def test_one_seed_has_no_interval_and_no_spread():
    one = asked(rows("ddpm", [1.0]), rows("coral", [0.5]))
    assert one.mean("ddpm") == "1.00"
    assert one.diff("coral") == "-0.50 (one seed)"


def test_the_reference_images_of_a_distance_are_told():
    one = asked(
        rows("ddpm", [1.0]).assign(n_reference=136.0),
        rows("ddpm", [2.0], scope="class", place="3").assign(n_reference=17.0),
    )
    assert (one.reference(), one.reference("3")) == (136, 17)


def test_who_was_measured_with_how_many_seeds_is_a_sentence():
    one = asked(rows("ddpm", [1.0, 2.0]), rows("coral", [0.5]), rows("t2h", [0.5, 1.0]))
    titles = {"ddpm": "DDPM", "cbdm": "CBDM", "coral": "CORAL", "t2h": "T2H"}
    assert one.measured(titles) == {"ddpm": "DDPM", "coral": "CORAL", "t2h": "T2H"}
    assert one.coverage(titles) == "2 seeds of DDPM and T2H, 1 of CORAL"
    assert one.coverage({"coral": "CORAL"}) == "1 seed of CORAL"
    assert one.coverage({"ddpm": "DDPM", "t2h": "T2H"}) == "2 seeds of all 2 methods"
    assert study.enumeration(["A", "B", "C"]) == "A, B and C"


def test_a_rule_is_taken_from_plain_guidance_of_the_same_method_and_scale():
    one = asked(
        rows("ddpm", [9.0], scope="group", place="tail"),
        rows("ddpm", [4.0], guidance=1.0, scope="group", place="tail"),
        rows("ddpm", [3.0], guidance=1.0, rule="interval", scope="group", place="tail"),
    )
    assert one.rule_diff("interval", "ddpm", guidance=1.0) == "-1.00 (one seed)"
    assert one.best("ddpm", "tail", scales=(0.0, 1.0)) == (1.0, 4.0)  # of plain guidance alone


def test_the_steps_of_a_method_are_those_it_was_scored_at():
    late = rows("ddpm", [1.0]).assign(step=24000)
    one = asked(late, rows("ddpm", [1.0, 2.0]), rows("coral", [1.0]))
    assert one.steps() == [1500, 24000]
    assert one.steps("coral") == [1500]
    assert one.steps("cm") == []
    assert one.steps_of_seeds(1) == 24000
    assert one.steps_of_seeds(2) == 1500
    with pytest.raises(ValueError, match="empty"):
        one.steps_of_seeds(3)


def test_a_setting_is_asked_for_by_its_name():
    fast, slow = ('{"train.learning_rate": 0.003}', '{"train.learning_rate": 0.0002}')
    one = asked(rows("cm", [9.0]).assign(settings=fast), rows("cm", [5.0]).assign(settings=slow))
    assert one.mean("cm", **{"train.learning_rate": 2e-4}) == "5.00"
    with pytest.raises(LookupError, match="several scores a seed"):
        one.mean("cm")


def test_entanglement_and_its_correlation_by_hand():
    """Two methods of two seeds: k-NN accuracy falls as the distance rises between methods, and rises within them."""
    one = asked(rows("ddpm", [4.0, 3.0]), rows("coral", [2.2, 1.0]))
    places = [("ddpm", 0, 0.5), ("ddpm", 1, 0.4), ("coral", 0, 0.9), ("coral", 1, 0.7)]
    table = pd.DataFrame(places, columns=["method", "train_seed", "value"])
    kept = table.assign(metric="knn_accuracy", t=250, protocol="noised", step=1500)
    other = kept.assign(value=9.0)
    one.__dict__["probes"] = pd.concat([kept, other.assign(step=500), other.assign(t=0)])
    assert one.entanglement("coral", "knn_accuracy", 250) == "0.80 ± 0.14"
    assert one.correlation("knn_accuracy", 250, within=True) == "+1.00"
    # ranks 2 1 4 3 of the accuracies, 4 3 2 1 of the distances: 1 - 6 (4 + 4 + 4 + 4) / 60
    assert one.correlation("knn_accuracy", 250) == "-0.60"
    with pytest.raises(LookupError, match="no one silhouette"):
        one.entanglement("coral", "silhouette", 250)


def test_a_rank_correlation_turns_with_the_order_of_the_methods():
    means = {"ddpm": (1.0, 3.0), "coral": (2.0, 2.0), "cbdm": (3.0, 1.0)}
    turned = [rows(m, [a]) for m, (a, _) in means.items()] + [
        rows(m, [b], ODE) for m, (_, b) in means.items()
    ]
    assert asked(*turned).agreement(list(means)) == "-1.00"


def test_who_is_first_is_counted_over_the_scales():
    at_0, at_1 = [rows("ddpm", [1.0]), rows("coral", [2.0])], [rows("ddpm", [2.0], guidance=1.0)]
    one = asked(*at_0, *at_1, rows("coral", [1.0, 2.0], guidance=1.0))
    assert one.first_at("ddpm", ["ddpm", "coral"], scales=(0.0, 1.0)) == "1 of 2"
    assert one.first_at("coral", ["ddpm", "coral"], scales=(1.0,)) == "1 of 1"


def test_a_percentage_has_a_digit_below_ten():
    one = asked(
        *(
            rows("ddpm", v, scope="group", place="tail", metric=m)
            for m, v in (("a", [0.05, 0.07]), ("b", [0.5]))
        )
    )
    assert one.percent("ddpm", metric="a") == "6.0 %"
    assert one.percent("ddpm", metric="b") == "50 %"


def test_what_was_not_measured_or_is_not_one_number_is_an_error():
    one = asked(rows("ddpm", [1.0]), rows("ddpm", [2.0], rule="interval"))
    with pytest.raises(LookupError, match="no score of coral"):
        one.mean("coral")
    twice = asked(rows("ddpm", [1.0]), rows("ddpm", [2.0]))
    with pytest.raises(LookupError, match="several scores a seed"):
        twice.mean("ddpm")


def test_the_papers_regime_is_what_the_figure_marks():
    """150,000 steps of 128 on CIFAR10-LT's 12,406 images, 50 of the rarest class."""
    counts = class_sizes([5000] * 10, 0.01)
    assert sum(counts) == 12_406
    images = 150_000 * 128
    assert exposure.presentations("ddpm", counts, images) == pytest.approx(
        exposure.PAPERS["natural draw"], abs=0.5
    )
    assert (
        exposure.presentations("class_balanced", counts, images) == exposure.PAPERS["balanced draw"] == 38_400
    )


def test_showings_are_worked_out_of_the_counts_that_the_scores_state():
    """7 images of 3 classes, 7 steps of 64: each 64 times by the natural draw, the rarest 149 by the balanced one."""
    classes = [
        rows("ddpm", [1.0], scope="class", place=str(k)).assign(n_train=n) for k, n in enumerate((4, 2, 1))
    ]
    one = asked(*classes, rows("coral", [1.0], scope="class", place="0").assign(n_train=9))
    assert one.counts() == [4, 2, 1]
    assert exposure.shown(one, "ddpm", 7) == "64"
    assert exposure.shown(one, "class_balanced", 7) == "149"  # 448 / 3
    with pytest.raises(LookupError, match="no one set of training images"):
        one.counts(ratio=0.5)
    with pytest.raises(LookupError, match="no one set of training images"):
        asked(*classes, classes[0].assign(n_train=5)).counts()


def test_the_first_step_below_held_out_images_by_hand():
    steps = [100, 200, 300]
    tail = {"scope": "group", "place": "tail"}
    means = {"ddpm": (60, 56, 20), "coral": (60, 57, 57)}
    made = [
        rows(name, [value - 1.0, value + 1.0], metric="authpct", **tail).assign(step=step)
        for name, values in means.items()
        for step, value in zip(steps, values, strict=True)
    ]
    floors = [rows("ddpm", [56.0, 56.0], metric="authpct.floor", **tail).assign(step=step) for step in steps]
    one = asked(*made, *floors)
    assert (
        one.first_under_floor("ddpm", steps, "tail", metric="authpct") == 300
    )  # at the floor is not below it
    assert one.first_under_floor("coral", steps, "tail", metric="authpct") is None
    with pytest.raises(LookupError, match="no score of ddpm"):
        one.first_under_floor("coral", [400], "tail", metric="authpct")


def test_the_figure_refuses_a_training_that_lacks_a_panels_score():
    """Two seeds of 1 and 3 in every panel; 1,500 steps of 64 images show each of 7 images 13,714 times."""
    panels = [(metric, *study._place(where)) for metric, where, _ in exposure.PANELS]
    whole = [rows("ddpm", [1.0, 3.0], scope=s, place=p, metric=metric) for metric, s, p in panels]
    counts = [4, 2, 1]
    drawn = exposure.exposure(asked(*whole), {"ddpm": "DDPM"}, counts, 64, 0.0)
    assert drawn[["mean", "low", "high", "n"]].drop_duplicates().to_numpy().tolist() == [[2, 1, 3, 2]]
    assert list(drawn["panel"]) == [panel for _, _, panel in exposure.PANELS]
    assert set(drawn["rarest"]) == {1500 * 64 / 7}
    for metric in {metric for metric, _, _ in panels}:
        lacking = asked(*(t for t in whole if t["metric"].iloc[0] != metric))
        with pytest.raises(LookupError, match="no score of ddpm"):
            exposure.exposure(lacking, {"ddpm": "DDPM"}, counts, 64, 0.0)
