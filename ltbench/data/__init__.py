"""Data: sources of images, the long-tail rule, and the data sets that they make."""

from ltbench.data.dataset import (
    SOURCES,
    Dataset,
    DatasetRow,
    ImageSet,
    Source,
    Splits,
    Status,
    default_data_root,
    get_source,
    list_sources,
    load_dataset,
    resolve_data,
)

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
