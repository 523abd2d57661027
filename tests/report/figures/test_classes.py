"""The figures of classes side by side: what their axes hold."""

import numpy as np
from report_folders import COUNTS, make_spec, score_rows, uneven, write_classes, write_run
from report_scenes import drawn_of


def test_classes_are_drawn_at_all_their_counts_where_there_are_several(tmp_path):
    difficulty = np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8])
    for method in ("ddpm", "coral"):
        for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
            frechet = difficulty / np.sqrt(counts)
            write_classes(tmp_path, frechet, counts, method=method, order=order)
    write_classes(tmp_path, difficulty / np.sqrt(120), (120,) * 10, ratio=1.0)
    (figure,) = drawn_of(tmp_path, "counts")
    assert figure.name == "digits-r0.05-counts"
    assert len(figure.panels) == 2
    assert "class order reversed" in figure.caption
    assert "balanced, 120 images a class" in figure.caption
    line = figure.panels[0].marks[0]
    assert line.line
    assert list(line.x) == [6.0, 120.0]


def test_classes_of_different_sizes_are_drawn_together(tmp_path):
    for method in ("ddpm", "coral"):
        spec = make_spec(method)
        write_run(tmp_path, spec, uneven(score_rows(spec, metrics=("frechet",))), images=False)
    (heat,) = drawn_of(tmp_path, "heat")
    assert np.isfinite(heat.panels[0].matrix).all()
    assert "6 to 120 generated against 120 real a class" in heat.caption
    (classes,) = drawn_of(tmp_path, "class")
    assert [len(mark.x) for mark in classes.panels[0].marks] == [10, 10]


def at_another_n(rows, n=15, more=True):
    """Floors of n images and, with `more`, each class's distance at that n: 1 more than at its own."""
    out = [row | ({"n_generated": n} if ".floor" in row["metric"] else {}) for row in rows]
    plain = [row for row in rows if row["scope"] == "class" and row["metric"] == "frechet"]
    at = {"metric": "frechet.at_floor_n", "n_generated": n}
    return out + [row | at | {"value": repr(float(row["value"]) + 1)} for row in plain if more]


def test_a_heat_map_divides_distances_and_floors_of_one_number_of_images(tmp_path):
    """Distances of 30 images were divided by floors of 15, which are larger: a class seemed as good as real images."""
    spec = make_spec()
    rows = score_rows(spec, metrics=("frechet",))
    write_run(tmp_path, spec, at_another_n(rows), images=False)
    (figure,) = drawn_of(tmp_path, "heat")
    values = [float(r["value"]) for r in rows if r["scope"] == "class" and r["metric"] == "frechet"]
    floors = 1.6 + 0.03 * np.arange(10)
    assert np.allclose(figure.panels[0].matrix, [np.log2((np.array(values) + 1) / floors)])
    assert figure.panels[0].matrix_text == [[f"{v:.2f}" for v in values]]
    assert "at the floor's n (15 images a class where the scores have 30)" in figure.caption


def test_a_heat_map_divides_by_no_floor_of_another_number_of_images(tmp_path):
    spec = make_spec()
    rows = at_another_n(score_rows(spec, metrics=("frechet",)), more=False)
    write_run(tmp_path, spec, rows, images=False)
    (figure,) = drawn_of(tmp_path, "heat")
    assert "Colour: logarithm of the distance" in figure.caption


def test_captions_of_floors_give_their_number_of_images_where_it_is_another(tmp_path):
    for guidance in (0.0, 1.0):
        spec = make_spec(guidance=guidance)
        write_run(tmp_path, spec, at_another_n(score_rows(spec, metrics=("frechet",))), images=False)
    (classes,) = drawn_of(tmp_path, "class")
    assert "real against real, 15 images a class where the scores have 30." in classes.caption
    (curve,) = drawn_of(tmp_path, "guidance")
    assert "Floor: 15 images where the scores have 300." in curve.caption


def test_every_row_of_the_heat_map_has_its_guidance_for_the_filter(tmp_path):
    for guidance in (0.0, 1.0):
        for method in ("ddpm", "coral"):
            write_run(tmp_path, make_spec(method, guidance=guidance), images=False)
    (heat,) = drawn_of(tmp_path, "heat")
    assert heat.panels[0].row_guidances == ["0", "0", "1", "1"]
