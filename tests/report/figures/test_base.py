"""Every method's style: its own, and the same in all figures."""

from report_folders import make_spec, write_run

from ltbench.analysis.names import known_methods_in_tree
from ltbench.report import document, write_report  # noqa: F401 - a document registers every kind
from ltbench.report.figures.base import KINDS, ORDER, method_styles


def test_a_method_has_one_style_whatever_stands_beside_it():
    known = ["ddpm", "cbdm", "coral"]
    alone, beside = method_styles(["coral"], known), method_styles(["coral", "ddpm", "mine", "other"], known)
    assert alone["coral"] == beside["coral"]
    shown = [beside[m] for m in ("coral", "ddpm", "mine", "other")]
    assert len({s.colour for s in shown}) == 4
    assert len({s.marker for s in shown}) == 4
    assert method_styles(["other", "mine"], known) == method_styles(["mine", "other"], known)


def test_no_two_methods_of_the_tree_look_alike():
    from ltbench.method.registry import known_methods

    styles = method_styles(known_methods(), known_methods())
    assert (
        len({(style.colour, style.marker) for style in styles.values()})
        == len(known_methods())
        == len(styles)
    )


def test_every_method_of_the_tree_has_a_colour_and_a_marker_of_its_own():
    """CORAL had CBDM's: twelve styles for fourteen methods."""
    known = known_methods_in_tree()
    styles = method_styles(known, known)
    assert len({styles[name].colour for name in known}) == len(known) > 12
    more = [*known[:10], "mine", "other", "third", "fourth"]
    beside = method_styles(more, known)
    assert len({beside[name].colour for name in more}) == len(more)
    assert all(beside[name] == styles[name] for name in known[:10])


def test_the_order_of_the_kinds_is_written_down_and_whole():
    """It was the order of imports: a split module moved lines of a page."""
    assert sorted(ORDER) == sorted(KINDS)
    assert ORDER[:5] == ("noise", "entanglement", "tsne", "confusion", "forest")


def test_what_is_not_drawn_is_listed_in_that_order(tmp_path):
    for method in ("ddpm", "coral"):
        write_run(tmp_path, make_spec(method), images=False)
    write_run(tmp_path, make_spec("ddpm", ratio=0.1), images=False)  # a cell without a forest plot
    page = write_report(tmp_path, tmp_path / "out").path / "details.md"
    said = page.read_text()
    lines = [f"- {KINDS[name].shows}:" for name in ORDER]
    places = [said.index(line) for line in lines if line in said]
    assert len(places) > 5
    assert places == sorted(places)
