"""Extension points: one check for all, and one checkout for the harness and its methods."""

import importlib.machinery
import json
from types import SimpleNamespace

import pytest

from ltbench import plugins
from ltbench.errors import DataCorrupt, Interrupted, UsageError
from ltbench.plugins import ExtensionPoint, check_one_checkout, extension_of, in_one_sentence


def named(value):
    if not hasattr(value, "name"):
        raise TypeError(f"{value!r} has no name")


def point(built_in=(), entries=(), monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.setattr(plugins.metadata, "entry_points", lambda **_: entries)
    return ExtensionPoint(
        "thing", "ltbench.things", name_of=lambda v: v.name, check=named, built_in=lambda: built_in
    )


def entry(name, load, package="other"):
    return SimpleNamespace(
        name=name, value="m:x", dist=SimpleNamespace(name=package, version="2.0"), load=load
    )


def test_things_of_the_tree_come_first_and_packages_add_theirs(monkeypatch, caplog):
    own, more, rival = (SimpleNamespace(name=n) for n in ("own", "more", "own"))
    entries = [entry("a", lambda: [more]), entry("b", lambda: rival), entry("c", lambda: 1 / 0)]
    things = point([("ltbench.things", own)], entries, monkeypatch)
    assert things.all() == {"more": more, "own": own}
    assert things["own"] is own
    assert (things.origin("own"), things.origin("more")) == ("ltbench.things", "package other 2.0")
    assert [things.foreign(name) for name in ("own", "more", "not registered")] == [False, True, True]
    assert set(things.broken()) == {"b", "c"}
    assert "taken by ltbench.things" in things.broken()["b"]
    assert len(caplog.records) == 2
    with pytest.raises(
        UsageError, match=r"thing 'c' could not be loaded from package other 2.0 \(ZeroDivision"
    ):
        things["c"]
    with pytest.raises(UsageError, match="unknown thing 'mor'; did you mean 'more'"):
        things["mor"]


def test_an_object_knows_whose_it_is_once_it_is_found(monkeypatch):
    own, more = (SimpleNamespace(name=n) for n in ("own", "more"))
    assert extension_of(own) is None
    point([("ltbench.things", own)], [entry("a", lambda: more)], monkeypatch).all()
    assert extension_of(own).foreign is False
    assert (extension_of(more).foreign, extension_of(more).origin) == (True, "package other 2.0")
    assert extension_of(SimpleNamespace(name="own")) is None


def test_one_refused_thing_of_a_list_leaves_the_others_and_says_why_by_its_own_name(monkeypatch):
    first, last = (SimpleNamespace(name=n) for n in ("first", "last"))

    def check(value):
        if value.name == "second":
            raise ValueError("not so")

    second = SimpleNamespace(name="second")
    things = point((), [entry("all", lambda: [first, second, last])], monkeypatch)
    monkeypatch.setattr(things, "_check", check)
    assert things.all() == {"first": first, "last": last}
    with pytest.raises(
        UsageError, match=r"'second' could not be loaded from package other 2.0 \(ValueError: not"
    ):
        things["second"]


@pytest.mark.parametrize("value", [5, SimpleNamespace(name="Bad Name"), SimpleNamespace(name=3)])
def test_what_is_no_extension_is_left_out(monkeypatch, value):
    assert point((), [entry("x", lambda: value)], monkeypatch).all() == {}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("genrated"), "KeyError: 'genrated'"),
        (ValueError("one\n  two"), "ValueError: one two"),
        (AssertionError(), "AssertionError"),
        (
            RuntimeError(
                "The operation failed in the TorchScript interpreter.\nTraceback\nRuntimeError: bad shape"
            ),
            "RuntimeError: bad shape",
        ),
    ],
)
def test_what_a_strangers_code_raises_is_one_sentence_with_its_cause(error, said):
    with pytest.raises(UsageError) as raised, in_one_sentence(lambda: "thing x failed"):
        raise error
    assert str(raised.value) == f"thing x failed: {said}"
    assert raised.value.__cause__ is error


def test_the_sentence_is_of_the_kind_asked_for_and_names_the_strangers_own_line():
    """It named the library's: `torch.nn.Linear("a", 3)` was told as a fault in linear.py."""
    with (
        pytest.raises(
            DataCorrupt, match=r"^thing x failed: JSONDecodeError: .*, in test_plugins\.py line \d+$"
        ),
        in_one_sentence(lambda: "thing x failed", DataCorrupt, module=__name__),
    ):
        json.loads("{")


def test_a_point_that_another_thread_is_making_stops_no_search(monkeypatch):
    """`extension_of` met a point without its table of what is found."""
    seen = []

    class Watched(list):
        def append(self, point):
            seen.append(point.so_far())
            super().append(point)

    monkeypatch.setattr(plugins, "_POINTS", Watched())
    point()
    assert seen == [[]]


@pytest.mark.parametrize(
    "error",
    [UsageError("say so"), Interrupted("stopped"), MemoryError(), RuntimeError("CUDA out of memory.")],
)
def test_own_sentences_and_the_want_of_memory_pass_as_they_are(error):
    with pytest.raises(type(error)) as raised, in_one_sentence(lambda: "thing x failed"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (["/other/checkout/methods"], r"ltbench\.methods from /other/checkout.*pip install -e"),
        (None, "which is not installed, so that ltbench.methods is missing"),
    ],
)
def test_methods_of_another_checkout_are_refused(monkeypatch, places, says):
    found = importlib.machinery.ModuleSpec("ltbench.methods", None, is_package=True)
    found.submodule_search_locations = places
    monkeypatch.setattr(plugins.importlib.util, "find_spec", lambda _: found if places else None)
    with pytest.raises(UsageError, match=says):
        check_one_checkout()


def test_one_checkout_is_accepted():
    check_one_checkout()
