"""Fetching a data set's files with torchvision's downloader; without a network, one clear sentence."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

from ltbench.data.source import OTHER_ROOT, file_md5
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.files import replacing

TIMEOUT = 8.0  # seconds without an answer before the network counts as missing
STALL = 60.0  # seconds without a byte before a download counts as broken off


def reachable(url: str) -> bool:
    """Return whether the server of `url` answers within `TIMEOUT` seconds, whatever it answers."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def download(url: str, path: Path, md5: str, advice: str) -> None:
    """Download `url` to `path` with a progress bar; the file appears only when whole and right.

    Parameters
    ----------
    url
        Where the file is.
    path
        File to write.
    md5
        Hexadecimal MD5 digest of the original.
    advice
        What a user without a network should do; ends the error's sentence.

    Raises
    ------
    DataMissing
        The server cannot be reached, or the download broke off.
    DataCorrupt
        The server sent something else than the original.
    StorageError
        `path` cannot be written.
    """
    if not reachable(url):
        raise DataMissing(f"{path} is missing and {url} cannot be reached: {advice}")
    from torchvision.datasets.utils import download_url

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)  # torchvision sets none: a stalled server would hang for ever
    try:
        with replacing(path, advice=OTHER_ROOT) as temporary:
            try:
                download_url(url, str(temporary.parent), temporary.name)
            except (TimeoutError, urllib.error.URLError, ConnectionError) as error:
                raise DataMissing(
                    f"the download of {url} broke off ({error}): try again, or {advice}"
                ) from error
            if file_md5(temporary) != md5:
                raise DataCorrupt(f"{url} did not send the original file (md5 {md5}): {advice}")
    finally:
        socket.setdefaulttimeout(before)
