"""Make class folders of emoji from Debian's package ruby-gemojione: colour, 64x64, transparent, long-tailed by nature.

    apt-get download ruby-gemojione && dpkg-deb -x ruby-gemojione_*.deb unpacked
    python make_emoji_folder.py unpacked --out emoji
    ltbench run -d ./emoji --set data.image_size=32

The pictures are Ranks.com's (EmojiOne 2014), CC BY-SA 4.0; the classes are the package's own categories.
"""

import argparse
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

FEWEST = 20  # emoji of a category; fewer (modifiers, extras) are no class to learn


def find_package(folder: Path) -> Path:
    """Return the gem's folder below an unpacked or installed package."""
    found = sorted(folder.glob("usr/share/rubygems-integration/all/gems/gemojione-*")) or sorted(
        folder.glob("**/gemojione-*")
    )
    for gem in found:
        if (gem / "config" / "index.json").is_file():
            return gem
    sys.exit(
        f"{folder} holds no ruby-gemojione: apt-get download ruby-gemojione, then dpkg-deb -x it to {folder}"
    )


def main() -> None:
    """Copy every emoji into the folder of its category."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "package", type=Path, nargs="?", default=Path("/"), help="folder the package is unpacked to"
    )
    parser.add_argument("--out", type=Path, default=Path("emoji"), help="folder to make")
    options = parser.parse_args()
    gem = find_package(options.package)
    index = json.loads((gem / "config" / "index.json").read_text(encoding="utf-8"))
    counts = Counter(emoji["category"] for emoji in index.values())
    copied: Counter[str] = Counter()
    for emoji in index.values():
        picture = gem / "assets" / "png" / f"{emoji['unicode'].upper()}.png"
        if counts[emoji["category"]] >= FEWEST and picture.is_file():
            folder = options.out / emoji["category"]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder)
            copied[emoji["category"]] += 1
    print(", ".join(f"{name} {count}" for name, count in copied.most_common()))
    print(f"next: ltbench run -d {options.out.resolve()}")


if __name__ == "__main__":
    main()
