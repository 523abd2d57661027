"""Data: sources of images, the long-tail rule, and the data cells that they make."""

from ltbench.data.dataset import (
    Cell,
    DatasetRow,
    ImageSet,
    SOURCES,
    Source,
    Splits,
    Status,
    default_data_root,
    describe,
    get_source,
    load_cell,
    resolve,
)

__all__ = [
    "Cell",
    "DatasetRow",
    "ImageSet",
    "SOURCES",
    "Source",
    "Splits",
    "Status",
    "default_data_root",
    "describe",
    "get_source",
    "load_cell",
    "resolve",
]
