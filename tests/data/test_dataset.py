"""From a DataSpec to a loaded data set: manifests, class order, refusals, the list of sources."""

import pytest

import ltbench.data.dataset as data
from ltbench.errors import UsageError
from ltbench.specs import DataSpec


@pytest.mark.parametrize(
    "change", [{"split_seed": 1}, {"class_order": "reversed"}, {"profile": "step"}, {"head_count": 60}]
)
def test_another_cell_has_another_manifest(change):
    spec = DataSpec(dataset="digits_lt", imbalance_ratio=0.05)
    one, other = data.load_dataset(spec), data.load_dataset(spec.model_copy(update=change))
    assert other.manifest_hash != one.manifest_hash
    assert other.reference.sha256 == one.reference.sha256


def test_class_order_turns_head_and_tail():
    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05, class_order="reversed"))
    assert cell.counts[9] == 120
    assert cell.counts[0] == 6
    assert cell.head_to_tail == tuple(range(9, -1, -1))
    assert cell.groups["tail"] == (2, 1, 0)


def test_refusals_name_what_to_use(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'digits_lt'"):
        data.get_source("digit_lt")
    with pytest.raises(UsageError, match=r"no image size 16: use 8$"):
        data.load_dataset(DataSpec(dataset="digits_lt", image_size=16))
    # An impossible ratio is refused before any file is looked for.
    with pytest.raises(UsageError, match=r"smallest ratio that works here is 0\.0002"):
        data.load_dataset(DataSpec(dataset="cifar10_lt", imbalance_ratio=1e-5), tmp_path)


def test_sources_are_listed_with_counts_without_files(tmp_path):
    rows = {row.source.name: row for row in data.list_sources(0.001, tmp_path)}
    assert rows["cifar10_lt"].counts == (5000, 2320, 1077, 500, 232, 107, 50, 23, 10, 5)
    assert not rows["cifar10_lt"].found
    assert str(tmp_path) in rows["cifar10_lt"].advice
    assert rows["digits_lt"].counts is None
    assert "0.008334" in rows["digits_lt"].note
    assert rows["digits_lt"].found


def test_listing_data_sets_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, ltbench.data; ltbench.data.list_sources()\n"
        "print({'torch', 'sklearn', 'torchvision'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
