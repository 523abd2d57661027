"""Places-LT and iNaturalist 2018 by their authors' lists."""

from dataclasses import replace

import pytest
from image_folders import write_random

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.data.sources.listed import INATURALIST2018, PLACES_LT
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.specs import DataSpec


@pytest.mark.parametrize(
    ("source", "file"),
    [
        (PLACES_LT, "data_256/{letter}/{name}/{i:08d}.jpg"),
        (INATURALIST2018, "train_val2018/Plantae/{name}/{i:032x}.jpg"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_set_by_its_authors_lists(tmp_path, use, source, file):
    source = use(replace(source, num_classes=3, stated=(110, 101, 2)))
    lists = {source.train_list: (101, 7, 2), source.val_list: (2, 2, 2)}
    for name, counts in lists.items():
        lines = []
        for k, n in enumerate(counts):
            for i in range(n):
                path = file.format(
                    letter="abc"[k], name=("airfield", "bar", "cave")[k], i=i + 1000 * ("val" in name)
                )
                write_random(tmp_path / "in" / path, 100 * k + i + 5000 * ("val" in name), 20)
                lines.append(f"{path} {k}\n")
        (tmp_path / "in" / name).write_text("".join(lines))
    prepare(source.name, tmp_path / "in", tmp_path, workers=1)
    dataset = data.load_dataset(DataSpec(dataset=source.name, profile="asis"), tmp_path)
    assert dataset.shape == (3, 64, 64)
    assert dataset.counts.tolist() == [101, 7, 2]
    assert dataset.class_names == ("airfield", "bar", "cave")
    assert dataset.groups == {"many": (0,), "few": (1, 2)}
    assert len(dataset.reference) == 6
    (tmp_path / "in" / path).unlink()
    with pytest.raises(
        DataMissing, match=r"is missing \(1 of the lists' 116 images are\): give the folder below"
    ):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)
    use(replace(source, stated=(62_500, 4980, 5)))
    with pytest.raises(DataCorrupt, match=r"has \(110, 101, 2\) images .* get the authors' list again"):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)
    (tmp_path / "in" / source.val_list).unlink()
    with pytest.raises(
        DataMissing, match=rf"{source.val_list} is missing: get .*ltbench data prepare {source.name}"
    ):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)
