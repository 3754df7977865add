#!/usr/bin/env python3
"""Gives all packages the one version that the file VERSION holds.

python tools/version.py           writes it into each pyproject.toml and the pins between them
python tools/version.py 1.38.0    the same, with a new version
python tools/version.py --check   changes nothing; fails and names the files that disagree
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# The version of a package, and its exact pins on its siblings.
_STAMPED = re.compile(r'(?m)(^version = "|"snt-[a-z]+==)[^"]*')


def main() -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", nargs="?", help="the new version, for example 1.38.0")
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()

    version_file = ROOT / "VERSION"
    version = options.version or version_file.read_text().strip()
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        parser.error(f"{version!r} is not of the form 1.38.0")

    wanted = {version_file: f"{version}\n"}
    for file in sorted(ROOT.glob("packages/*/pyproject.toml")):
        wanted[file] = _STAMPED.sub(rf"\g<1>{version}", file.read_text())
    stale = [file for file, text in wanted.items() if file.read_text() != text]
    for file in stale:
        if not options.check:
            file.write_text(wanted[file])
        print(f"{'differs' if options.check else 'written'}: {file.relative_to(ROOT)}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
