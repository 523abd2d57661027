"""Data: sources of images, the long-tail rule, and the data sets that they make."""

from ltbench.data.dataset import Dataset, DatasetRow, list_sources, load_dataset, resolve_data
from ltbench.data.images import ImageSet
from ltbench.data.registry import SOURCES, get_source
from ltbench.data.source import Source, Splits, Status, default_data_root

__all__ = [
    "SOURCES",
    "Dataset",
    "DatasetRow",
    "ImageSet",
    "Source",
    "Splits",
    "Status",
    "default_data_root",
    "get_source",
    "list_sources",
    "load_dataset",
    "resolve_data",
]
