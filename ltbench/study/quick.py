"""A folder of one's own -> a study that a laptop finishes: network and budget by the images' size and number.

The papers' network and 150,000 steps take weeks on a CPU. What is chosen here is for a first look: every setting
is an ordinary one and can be set otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.data.registry import SOURCES
from ltbench.data.source import default_data_root
from ltbench.study.checks import fitting_ema_decay

if TYPE_CHECKING:
    from ltbench.data.prepare.folder import PreparedFolder

QUICK = "quick"  # the preset that holds what does not depend on the folder
FOLDERS = "folder_lt"  # the source that reads them
SIZE = 32  # pixels a side that a folder is prepared at where none is asked for
EPOCHS, FEWEST, MOST = 60, 600, 3000  # passes over the images, and the bounds of the steps they come to
BATCH = 64


@dataclass(frozen=True)
class QuickChoice:
    """What was chosen for a folder.

    Attributes
    ----------
    dataset
        Its name in a spec, ``folder_lt:NAME``.
    settings
        ``KEY=VALUE`` of the study.
    sentence
        What was chosen and why, for the user.
    """

    dataset: str
    settings: tuple[str, ...]
    sentence: str


def is_folder(dataset: str) -> bool:
    """Tell whether ``--dataset`` names a folder on disk and no source: it exists, or is written as a path."""
    if not dataset or dataset.partition(":")[0] in SOURCES:
        return False
    return dataset.startswith((".", "/", "~")) or Path(dataset).is_dir()


def quick_settings(image_size: int, images: int, per_class: int) -> tuple[str, ...]:
    """Return the settings that depend on a folder.

    Parameters
    ----------
    image_size
        Pixels a side.
    images
        Training images N.
    per_class
        Reference images of the smallest class: as many are generated, at least 50 and at most 200.
    """
    steps = min(MOST, max(FEWEST, 100 * round(EPOCHS * images / BATCH / 100)))
    size = "tiny" if image_size <= 16 else "small"
    return (
        f"model.size={size}",
        f"train.steps={steps}",
        f"train.batch_size={min(BATCH, max(8, images // 2))}",
        f"train.warmup_steps={steps // 20}",
        f"train.ema_decay={fitting_ema_decay(steps):g}",
        f"sample.per_class={min(200, max(50, per_class))}",
    )


def choose_prepared(dataset: str, data_root: Path | None, image_size: int | None) -> QuickChoice | None:
    """Choose a study for a folder that is prepared already, ``folder_lt`` or ``folder_lt:NAME``.

    Returns
    -------
    None where the name means another source, or no or several prepared folders.
    """
    from ltbench.data.prepare.prepare import prepared_source

    name, _, folder = dataset.partition(":")
    if name != FOLDERS:
        return None
    source = prepared_source(FOLDERS)
    root = default_data_root() if data_root is None else data_root
    prepared = [made for made in source.candidates(root, image_size) if folder in ("", made.name)]
    return _choice(prepared[0], root) if len(prepared) == 1 else None


def prepare_and_choose(folder: str, data_root: Path | None, image_size: int | None) -> QuickChoice:
    """Prepare a folder of class folders and choose a study for it; what is prepared already is not done again.

    Raises
    ------
    LtbenchError
        As `ltbench.data.prepare.prepare.prepare`.
    """
    from ltbench.data.prepare.prepare import prepare

    root = default_data_root() if data_root is None else data_root
    prepared = prepare(FOLDERS, Path(folder), root, image_size=image_size or SIZE)
    return _choice(prepared, root)


def _choice(prepared: PreparedFolder, root: Path) -> QuickChoice:
    from ltbench.data.prepare.prepare import settings_for

    counts = prepared.counts("pool")
    settings = quick_settings(prepared.image_size, sum(counts), min(prepared.counts("reference")))
    sentence = (
        f"{prepared.spec_name}: {sum(counts):,} training images of {len(counts)} classes ({min(counts):,} to "
        f"{max(counts):,} a class) at {prepared.image_size}x{prepared.image_size}, so preset quick with "
        f"{', '.join(settings)}; for more, --set any of them or take another --preset"
    )
    return QuickChoice(prepared.spec_name, (*settings_for(prepared, root), *settings), sentence)
