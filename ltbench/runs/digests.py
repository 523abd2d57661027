"""Digests of a run's files: SHA-256 of each large file -> ``digests.json`` in its folder, checked when it is read.

A flipped bit, a hand-edited number or half a copy would otherwise be scored as if it were the run. A digest is
written just before its file takes its place, so that a crash in between leaves two that are accepted, the old
file's and the new one's, and never a good file without. Folders from before have no digests: they are read as ever.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ltbench.errors import CheckpointError, LtbenchError
from ltbench.files import locked, read_object, replacing, sha256, write_json
from ltbench.runs.layout import files_below

DIGESTS = "digests.json"
_HEX = re.compile(r"[0-9a-f]{64}")


def recorded_digests(folder: Path) -> dict[str, list[str]]:
    """Return file name -> accepted SHA-256 digests; {} in a folder from before there were any.

    Raises
    ------
    CheckpointError
        ``digests.json`` is damaged.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    content = read_object(path)
    for name, digests in content.items():
        if not isinstance(digests, list) or not all(
            isinstance(d, str) and _HEX.fullmatch(d) for d in digests
        ):
            raise CheckpointError(
                f"{path} is damaged at {name!r}: delete it; the files are then read unchecked"
            )
    return content


@contextlib.contextmanager
def recording(path: Path, guard: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path that takes `path`'s place at the end, as `replacing` does; keep the content's digest."""
    path = Path(path)
    if guard is not None:
        guard()  # before anything is made: a folder of runs that was moved away must not come up anew
    known: dict[str, list[str]] = {}
    with contextlib.ExitStack() as held:  # two processes that score one set would undo each other's record

        def publish() -> None:
            if guard is not None:
                guard()
            nonlocal known
            digest = sha256(temporary)
            held.enter_context(locked(path.parent))
            known = _readable(path.parent)
            accepted = [*_of_content(path, known.get(path.name, [])), digest]
            known[path.name] = list(dict.fromkeys(accepted))
            write_json(path.parent / DIGESTS, known)

        with replacing(path, publish) as temporary:
            yield temporary
        if len(known[path.name]) > 1:
            write_json(path.parent / DIGESTS, _readable(path.parent) | {path.name: known[path.name][-1:]})


def _of_content(path: Path, digests: list[str]) -> list[str]:
    """Return which of a file's recorded digests is to be accepted still: that of what lies there now.

    Of several, left by a kill before the file took its place, the content says which; one is not asked again.
    """
    if not path.exists():
        return []
    if len(digests) < 2:
        return digests
    content = sha256(path)
    return [content] if content in digests else digests[-1:]


def seal(path: Path) -> None:
    """Keep the digest of a file that grew until now, as a log does; from here on it is checked."""
    if path.is_file():
        with locked(path.parent):
            write_json(path.parent / DIGESTS, _readable(path.parent) | {path.name: [sha256(path)]})


def unseal(path: Path) -> None:
    """Forget a file's digest before it is written on."""
    if path.name in _readable(path.parent):
        with locked(path.parent):
            known = _readable(path.parent)
            known.pop(path.name, None)
            write_json(path.parent / DIGESTS, known)


def _readable(folder: Path) -> dict[str, list[str]]:
    """Return the recorded digests, none where the record is damaged: writing a file again mends it."""
    try:
        return recorded_digests(folder)
    except CheckpointError:
        return {}


def check_digest(path: Path, advice: str, error: type[LtbenchError] = CheckpointError) -> None:
    """Compare a file with its recorded digest, if it has one.

    Parameters
    ----------
    path
        The file.
    advice
        How to mend it, as in "delete it and run again".
    error
        Class of the error.

    Raises
    ------
    error
        Its content is not what was written.
    """
    accepted = recorded_digests(path.parent).get(path.name)
    while accepted and path.is_file() and sha256(path) not in accepted:
        before, accepted = accepted, recorded_digests(path.parent).get(path.name)
        if accepted == before:  # else it was written between the two looks, by a study that runs
            raise error(
                f"{path} was changed or damaged since it was written (its SHA-256 is another): {advice}"
            )


def check_digests(folder: Path, advice: str) -> None:
    """Compare every file at or below a folder that has a recorded digest with it; errors as `check_digest`."""
    for record in files_below(folder, DIGESTS):
        for name in sorted(recorded_digests(record.parent)):
            if name == Path(name).name:
                check_digest(record.parent / name, advice)
