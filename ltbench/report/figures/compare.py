"""Methods side by side: the forest plot of paired differences, per-class bars and heat map, count against score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.report.cells import CellResults, block_title, long_tails, main_protocols
from ltbench.report.figures.base import (
    Figure,
    Mark,
    Panel,
    Scene,
    Style,
    faded,
    figure,
    how_made,
    left_out,
    shown_panels,
    spans_decades,
)
from ltbench.report.names import group_title, integer, method_title, metric_title, number, output_of
from ltbench.report.tables.controls import balanced_controls, change, class_points, reordered
from ltbench.report.tables.differences import PLACES, difference_text, of_measure
from ltbench.report.tables.grid import row_labels

_MOST_BARS = 20  # classes with names along an axis; above, a running mean
_MOST_CLASSES = 20  # classes with a colour of their own
_MOST_METHODS = 4


# -- differences ----------------------------------------------------------------------------------------------


@figure("forest", "forest plot of paired differences", "two methods with a training seed in common")
def forest(scene: Scene) -> Figure | None:
    """Draw each method's paired difference with the baseline, overall and in the tail, a row of panels a guidance."""
    measure = scene.cell.frechet("overall")
    panels = forest_panels(scene, len(main_protocols(scene.cell)))
    if measure is None or not panels:
        return None
    caption = (
        f"Frechet distance minus {method_title(scene.baseline)}'s, seed by seed; left of 0 is better. "
        "Mean, 95 % t interval and every "
        "seed's difference; the interval holds for one comparison alone, and one seed has none. "
        f"{how_made(scene.cell, pd.concat(main_protocols(scene.cell)), measure, 'overall', '')}"
    )
    title = f"Paired differences with {method_title(scene.baseline)}, {scene.cell.label}"
    return Figure(f"{scene.cell.slug}-forest", title, caption, panels, 2)


def forest_panels(scene: Scene, most: int, prefix: str = "") -> list[Panel]:
    """Return two panels a guidance: overall and, in a long tail, the tail."""
    cell, frame = scene.cell, scene.differences
    measure = cell.frechet("overall")
    if measure is None or frame.empty:
        return []
    out = []
    for block in main_protocols(cell)[:most]:
        names = dict(zip(block["series"], block["label"], strict=True))
        rows = of_measure(frame, measure)
        rows = rows[rows["series"].isin(block["series"])]
        categories = [names[s] for s in block["series"] if s in set(rows["series"])]
        if not categories:
            continue
        scale = f"{block['guidance'].iloc[0]:g}" if block["guidance"].notna().any() else ""
        for place in PLACES if "tail" in cell.groups() else PLACES[:1]:
            here = rows[rows["class_or_group"] == place].drop_duplicates("series")
            marks = [
                _difference(scene, row, block, categories.index(names[row["series"]]), names[row["series"]])
                for _, row in here.iterrows()
            ]
            title = f"{prefix}{block_title(block)}: {group_title(place)}"
            x_title = f"{metric_title('frechet', measure['extractor'], False)} difference"
            out.append(
                Panel(
                    title, x_title, "", marks, categories=categories, sideways=True, zero=True, guidance=scale
                )
            )
    return out


def _difference(scene: Scene, row: pd.Series, block: pd.DataFrame, at: int, label: str) -> Mark:
    one = block[block["series"] == row["series"]].iloc[0]
    scope, place = row["scope"], row["class_or_group"]
    measure = row[
        [
            "metric",
            "definition",
            "extractor",
            "extractor_hash",
            "reference",
            "reference_hash",
            "n_reference",
            "n_generated",
        ]
    ]
    wide = scene.cell.by_seed(scope, measure, place)
    seeds = (wide[row["series"]] - wide[row["baseline"]]).dropna()
    interval = row["n"] > 1
    return Mark(
        label,
        [row["mean"]],
        [at],
        scene.styles[one["method"]],
        [row["low"]] if interval else (),
        [row["high"]] if interval else (),
        [(float(v), float(at)) for v in seeds] if interval else (),
        text=[difference_text(row)],
        method=one["method"],
        guidance=f"{one['guidance']:g}",
    )


def overall_forest(scenes: list[Scene], most: int = 6) -> Figure | None:
    """Draw the report's first figure: the forest plots of the leading data cells under one another."""
    leading = long_tails([s.cell for s in scenes])
    chosen = [s for s in scenes if s.cell in leading]
    rows: list[Panel] = []
    left = 0
    for rank in range(max((len(main_protocols(s.cell)) for s in chosen), default=0)):
        for scene in chosen:
            here = forest_panels(scene, rank + 1, f"{scene.cell.label.replace(', ratio', '')}, ")
            before = forest_panels(scene, rank, f"{scene.cell.label.replace(', ratio', '')}, ")
            new = here[len(before) :]
            if len(rows) + len(new) <= 2 * most:
                rows += new if len(new) != 1 else [*new, Panel()]
            else:
                left += 1
    if not rows:
        return None
    more = f" {left} more guidances are in the data cells' own figures." if left else ""
    caption = (
        f"Frechet distance minus {method_title(scenes[0].baseline)}'s, seed by seed; left of 0 is better. "
        "Mean, 95 % t interval (of one "
        f"comparison alone; one seed has none) and every seed's difference. "
        f"Left: all images, right: mean of the tail's classes.{more}"
    )
    return Figure(
        "forest",
        f"Who is ahead: paired differences with {method_title(scenes[0].baseline)}",
        caption,
        rows,
        2,
    )


# -- per class ------------------------------------------------------------------------------------------------


@figure("heat", "per-class heat map", "per-class Frechet distances")
def per_class_heat(scene: Scene) -> Figure | None:
    """Draw each class's Frechet distance relative to its floor, classes head to tail, a row a method."""
    cell = scene.cell
    measure, classes = cell.frechet("class"), cell.classes()
    if measure is None or len(classes) > 100:
        return None
    series = pd.concat(main_protocols(cell), ignore_index=True)
    names = [str(c) for c in classes["class_or_group"]]
    columns = [
        cell.column("class", measure, c)["mean"].reindex(series["series"]).to_numpy(float) for c in names
    ]
    floors = np.array([cell.floor("class", measure, c)[0] for c in names])
    values = np.stack(columns, axis=1)
    keep = np.isfinite(values).any(axis=1)
    if not keep.any():
        return None
    relative = bool(np.isfinite(floors).all() and (floors > 0).all())
    shade = np.log2(values / floors) if relative else np.log10(values)
    few = len(names) <= _MOST_BARS
    decimals = output_of("frechet").decimals if len(names) <= 10 else 1
    texts = [[number(v, decimals) if few else "" for v in row] for row in values[keep]]
    panel = Panel(
        "",
        "class (training images), head to tail",
        "",
        categories=[f"{cell.class_name(c)} ({integer(n)})" for c, n in classes.itertuples(index=False)],
        matrix=np.where(np.isfinite(shade[keep]), shade[keep], np.nan).tolist(),
        row_names=[label for label, yes in zip(row_labels(series), keep, strict=True) if yes],
        row_methods=list(series["method"][keep]),
        matrix_text=texts,
        matrix_range=(0.0, float(np.nanmax(shade)))
        if relative
        else (float(np.nanmin(shade)), float(np.nanmax(shade))),
    )
    shades = (
        "Colour: how often the distance doubles its floor"
        if relative
        else "Colour: logarithm of the distance"
    )
    made = how_made(cell, series, measure, drawn="mean over training seeds")
    caption = f"{shades}; in the fields the mean over seeds. {made}"
    title = f"{metric_title('frechet', measure['extractor'], False)} per class, {cell.label}"
    return Figure(f"{cell.slug}-heat", title, caption + left_out(cell, series), [panel], 1)


@figure("class", "per-class scores by method", "per-class Frechet distances")
def per_class(scene: Scene) -> list[Figure] | None:
    """Draw scores a class, head to tail, by method, with floors: Frechet distance, recall and agreement."""
    cell, classes = scene.cell, scene.cell.classes()
    out = []
    for metric in ("frechet", "recall", "agreement"):
        measure = cell.leading(metric, "class")
        if measure is None:
            continue
        panels = [
            p
            for block in shown_panels(cell)
            if (p := _class_panel(scene, measure, block, classes)) is not None
        ]
        if not panels:
            continue
        many = len(classes) > _MOST_BARS
        drawn = (
            "a class's mean over seeds, smoothed over a twelfth of the classes"
            if many
            else "mean and sd over training seeds, a point a seed"
        )
        series = pd.concat(shown_panels(cell))
        title = f"{metric_title(metric, measure['extractor'], False)} per class, {cell.label}"
        caption = "Black strokes: floor, real against real. " + how_made(cell, series, measure, drawn=drawn)
        out.append(Figure(f"{cell.slug}-class-{metric}", title, caption + left_out(cell, series), panels, 1))
    return out


def _class_panel(
    scene: Scene, measure: pd.Series, block: pd.DataFrame, classes: pd.DataFrame
) -> Panel | None:
    cell = scene.cell
    names = [str(c) for c in classes["class_or_group"]]
    many = len(names) > _MOST_BARS
    wide = {c: cell.by_seed("class", measure, c) for c in names}
    marks = []
    again: dict[str, int] = {}
    for i, (_, one) in enumerate(block.iterrows()):
        values = [
            w[one["series"]].dropna().to_numpy() if one["series"] in w else np.array([])
            for w in wide.values()
        ]
        mean = np.array([v.mean() if len(v) else np.nan for v in values])
        if not np.isfinite(mean).any():
            continue
        x = np.arange(len(names)) + (0 if many else 0.8 * ((i + 0.5) / len(block) - 0.5))
        if many:
            mean = (
                pd.Series(mean)
                .rolling(max(3, len(names) // 12), center=True, min_periods=1)
                .mean()
                .to_numpy()
            )
        sd = np.array([v.std(ddof=1) if len(v) > 1 else 0.0 for v in values])
        again[one["method"]] = again.get(one["method"], -1) + 1
        marks.append(
            Mark(
                one["label"],
                x.tolist(),
                mean.tolist(),
                faded(scene.styles[one["method"]], again[one["method"]]),
                () if many or not sd.any() else (mean - sd).tolist(),
                () if many or not sd.any() else (mean + sd).tolist(),
                []
                if many
                else [
                    (float(at), float(p)) for at, v in zip(x, values, strict=True) if len(v) > 1 for p in v
                ],
                line=many,
                method=one["method"],
                guidance=f"{one['guidance']:g}",
            )
        )
    if not marks:
        return None
    floors = [(float(i), cell.floor("class", measure, c)[0]) for i, c in enumerate(names)]
    return Panel(
        block_title(block),
        "class (training images), head to tail",
        metric_title(measure["metric"], measure["extractor"]),
        marks,
        y_log=measure["metric"] == "frechet" and spans_decades([v for m in marks for v in m.y]),
        categories=[f"{cell.class_name(c)} ({integer(n)})" for c, n in classes.itertuples(index=False)],
        floor=[(x, y) for x, y in floors if y == y],
        guidance=f"{block['guidance'].iloc[0]:g}",
    )


@figure(
    "counts", "the same classes at other training counts", "other class orders, splits or balanced controls"
)
def class_counts(scene: Scene) -> Figure | None:
    """Draw each class's Frechet distance against its training images in a long tail, its other orders and splits,
    and balanced controls: a panel a method, a line a class through the long tails, an open mark a control."""
    cell = scene.cell
    others, controls = reordered(cell, scene.found), balanced_controls(cell, scene.found)
    classes = [str(c) for c in cell.classes()["class_or_group"]]
    measure = cell.frechet("class")
    if not cell.published or measure is None or not (others or controls) or len(classes) > _MOST_CLASSES:
        return None
    series = shown_panels(cell)[0].head(_MOST_METHODS)
    panels = []
    for _, one in series.iterrows():
        tails = [_means(c, one) for c in (cell, *others)]
        even = [_means(c, one) for c in controls]
        marks: list[Mark] = []
        for index, name in enumerate(classes):
            title = cell.class_name(name)
            own = sorted(f[name] for f in tails if name in f)
            if own:
                style = faded(_class_style(index, len(classes), "o"), 0)
                marks.append(Mark(title, [n for n, _ in own], [v for _, v in own], style, line=len(own) > 1))
            for f in even:
                if name in f:
                    at = [f[name][0]], [f[name][1]]
                    marks.append(Mark(title, *at, _class_style(index, len(classes), "D"), hollow=True))
        values = [v for m in marks for v in m.y]
        panels.append(
            Panel(
                one["label"],
                "training images of the class",
                metric_title("frechet", measure["extractor"]),
                marks,
                True,
                spans_decades(values),
                True,
                guidance=f"{one['guidance']:g}",
            )
        )
    told = [f"joined: published split{', ' if others else ''}{', '.join(change(cell, c) for c in others)}"]
    if controls:
        told.append(
            f"open: balanced, {' and '.join(integer(c.classes()['n_train'].max()) for c in controls)} images a class"
        )
    caption = (
        f"A colour a class; {'; '.join(told)}; mean over training seeds. "
        f"{how_made(cell, series, measure, drawn='mean over training seeds')}{left_out(cell, series)}"
    )
    return Figure(
        f"{cell.slug}-counts", f"The same classes at other training counts, {cell.label}", caption, panels, 2
    )


def _means(cell: CellResults, like: pd.Series) -> dict[str, tuple[float, float]]:
    """Return class -> its training images and its mean score over training seeds."""
    means = class_points(cell, like).groupby("class_or_group")[["n_train", "value"]].mean()
    return {str(k): (float(n), float(v)) for k, n, v in means.itertuples()}


def _class_style(index: int, count: int, marker: str) -> Style:
    """Return a class's style: of ten, each a colour of its own; of more, from dark blue (head) to orange (tail)."""
    tens = [
        "#1F77B4",
        "#FF7F0E",
        "#2CA02C",
        "#D62728",
        "#9467BD",
        "#8C564B",
        "#E377C2",
        "#7F7F7F",
        "#BCBD22",
        "#17BECF",
    ]
    if count <= len(tens):
        return Style(tens[index], marker)
    t = index / (count - 1)
    return Style(
        "#" + "".join(f"{round(a + (b - a) * t):02X}" for a, b in ((20, 240), (40, 150), (140, 20))), marker
    )
