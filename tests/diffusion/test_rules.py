"""Rules of guidance: the scale at each time and class, against goldens."""

import numpy as np
import pytest
from guidance_golden import GOLDEN, LABELS, NOBODY, PRIOR, ROWS, SCALE, STEPS, Stated, close, spec

from ltbench.diffusion.guidance import evaluations, make_omega
from ltbench.diffusion.rules import SHAPES
from ltbench.diffusion.samplers import guided_eps
from ltbench.specs import SampleSpec


def test_omega_by_class_is_the_golden_one_also_where_a_class_has_none() -> None:
    network = Stated(GOLDEN["eps_c"], GOLDEN["eps_u"])
    factors = tuple(GOLDEN["omega_per_class"])
    omega = make_omega(spec(1.0, rule="per_class", omega_factors=factors), PRIOR)(10, GOLDEN["labels"])
    close(guided_eps(network, ROWS, 10, LABELS, omega), GOLDEN["cfg_per_class"])
    some = np.where(GOLDEN["labels"] == 5, 0.0, omega)
    wanted = np.where((GOLDEN["labels"] == 5)[:, None, None, None], GOLDEN["eps_c"], GOLDEN["cfg_per_class"])
    close(guided_eps(network, ROWS, 10, LABELS, some), wanted)


@pytest.mark.parametrize(("low", "high"), [(0.19, 1.61), (0.34, 1.02), (0.6, 5.0)])
def test_an_interval_is_the_golden_one_and_counts_its_passes(low: float, high: float) -> None:
    name = f"interval_{low:g}_{high:g}"
    chosen = spec(rule="interval", sigma_low=low, sigma_high=high, steps=50, spacing="linspace")
    omega = make_omega(chosen)
    np.testing.assert_allclose([omega(t, NOBODY) for t in STEPS], GOLDEN[f"{name}_omega"])
    assert evaluations(chosen).nfe == GOLDEN[f"{name}_nfe"]


@pytest.mark.parametrize(
    ("golden", "settings"),
    [
        ("linear", {}),
        ("cosine", {}),
        ("inverse_linear", {}),
        ("sine", {}),
        ("clamp_linear_1", {"schedule": "clamped_linear"}),
        ("powered_cosine_1", {"schedule": "powered_cosine", "schedule_power": 1}),
        ("powered_cosine_2", {"schedule": "powered_cosine"}),
        ("powered_cosine_4", {"schedule": "powered_cosine", "schedule_power": 4}),
        ("ccua_linear", {}),
        ("ccua_power_2", {"schedule": "ccua_power"}),
        ("ccua_power_4", {"schedule": "ccua_power", "schedule_power": 4}),
    ],
)
def test_a_schedule_is_the_golden_one(golden: str, settings: dict[str, object]) -> None:
    omega = make_omega(spec(rule="schedule", **{"schedule": golden} | settings))
    np.testing.assert_allclose(
        [omega(t, NOBODY) for t in STEPS], GOLDEN[f"sched_{golden}"], rtol=1e-10, atol=1e-14
    )


def test_ccuas_power_below_1_starts_at_no_label_at_all() -> None:
    """gamma < 1: w (1 - gamma^s), w = omega + 1; at pure noise omega is -1, by hand at s = 1/2: 2 (1 - .5) - 1."""
    omega = make_omega(spec(1.0, rule="schedule", schedule="ccua_power", schedule_power=0.25))
    assert omega(999, NOBODY) == pytest.approx(-1, abs=3e-3)
    assert omega(500, NOBODY) == pytest.approx(0)


@pytest.mark.parametrize("shape", ["linear", "cosine", "inverse_linear", "sine"])
def test_these_shapes_have_the_area_of_a_constant(shape: str) -> None:
    omega = make_omega(spec(rule="schedule", schedule=shape))
    values = [omega(t, NOBODY) for t in range(1000)]
    assert np.mean(values) == pytest.approx(SCALE, rel=2e-3)
    rises = {"linear", "cosine"}  # towards the image, t = 0
    assert (values[0] > values[999]) == (shape in rises)


def test_every_shape_can_be_asked_for() -> None:
    (shapes,) = (a for a in SampleSpec.model_fields["schedule"].annotation.__args__ if a is not type(None))
    assert set(shapes.__args__) == set(SHAPES)


def test_a_power_of_the_classes_sizes_keeps_the_mean_over_classes() -> None:
    """n = 100, 25: at power -1/2 in proportion 1 : 2, so 2/3 and 4/3 of the scale."""
    omega = make_omega(spec(1.5, rule="per_class", omega_power=-0.5), np.array([0.8, 0.2]))
    np.testing.assert_allclose(omega(3, np.array([1, 0, 0])), [2.0, 1.0, 1.0])
    whole = make_omega(spec(1.5, rule="per_class", omega_power=0.75), PRIOR)(3, np.arange(10))
    assert np.mean(whole) == pytest.approx(1.5)
    assert (np.diff(whole) < 0).all()
    absent = make_omega(spec(1.5, rule="per_class", omega_power=1), np.array([1.0, 0.0]))
    assert absent(3, np.array([0, 1])).tolist() == [3.0, 0.0]  # a class without images is not guided
