"""The registry of data sets: facts of every source, and sources of other packages."""

import ltbench.data.dataset as data
from ltbench.data.sources.cifar import CIFAR10, CIFAR100
from ltbench.data.sources.fashion_mnist import FASHION_MNIST
from ltbench.specs import DataSpec


def test_static_facts_match_torchvision():
    from torchvision.datasets import FashionMNIST

    assert dict(FashionMNIST.resources) == dict(FASHION_MNIST.md5)
    for source in (CIFAR10, CIFAR100):
        cls = source.dataset_class()
        assert (cls.base_folder, cls.filename) == (source.folder, source.archive)
        assert cls.tgz_md5 in source.how_to_get
        assert cls.url in source.how_to_get
    for source in data.SOURCES.all().values():
        if not source.pool:  # only their lists or folders tell
            assert source.name in ("imagenet_lt", "folder_lt", "places_lt", "inaturalist2018")
            continue
        assert len(source.pool) == source.num_classes
        if source.name != "tiny_imagenet_lt":  # its WordNet ids are in its files
            assert len(set(source.class_names)) == len(source.class_names) == source.num_classes


def test_a_source_of_another_package_is_listed_and_loaded(tmp_path, monkeypatch, capsys):
    from ltbench.cli.lists import list_datasets

    (tmp_path / "stripes.py").write_text(
        "import dataclasses\nfrom ltbench.data.sources.digits import DIGITS\n"
        "STRIPES = dataclasses.replace(DIGITS, name='stripes_lt', title='Stripes')\n"
    )
    info = tmp_path / "stripes-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[ltbench.datasets]\nany = stripes:STRIPES\n")
    monkeypatch.syspath_prepend(tmp_path)
    data.SOURCES.forget()
    try:
        assert data.SOURCES.origin("stripes_lt") == "package stripes 2.0"
        assert data.load_dataset(DataSpec(dataset="stripes_lt", imbalance_ratio=0.1)).counts[0] == 120
        list_datasets("100", None)
        shown = capsys.readouterr().out
        assert "from package stripes 2.0" in shown
        assert "from ltbench.data.sources.digits" in shown
        assert "imbalance_ratio is 0.01" in shown
    finally:
        monkeypatch.undo()
        data.SOURCES.forget()
