"""The licenses of everything that is installed, and which of them want a look.

    python examples/maintenance/licenses.py

A distribution is what its metadata say: permissive, or of a license that asks something of those who change it (MPL,
LGPL: used as they come, from the package index, this asks nothing), or NVIDIA's, which allows use and redistribution of
its libraries with programs that need them. Everything else is listed at the end, and the exit status is 1.
Known holes in what is installed: `uvx pip-audit`, in the environment.
"""

import argparse
import re
from collections import defaultdict
from importlib.metadata import Distribution, distributions

KINDS = {
    "permissive": r"MIT|BSD|Apache|ISC|PSF|Python Software|HPND|Zlib|Unlicense|CNRI|LLVM|Public Domain|CC0",
    "MPL or LGPL": r"MPL|Mozilla|LGPL|Lesser General Public",
    "NVIDIA": r"NVIDIA",
}
NAMED = {
    "cuda-toolkit": "NVIDIA",  # It has no metadata of a license; it is a list of NVIDIA's libraries.
}
SEPARATORS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[;,]")
NO_LICENSE = {"DFSG approved", "OSI Approved"}
"""Classifiers that stand beside a license."""


def license(distribution: Distribution) -> str:
    """What the metadata say: an SPDX expression, else classifiers, else the first line of the license's text."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [line.split("::")[-1].strip() for line in metadata.get_all("Classifier", []) if "License ::" in line]
    text = (metadata.get("License") or "").strip().splitlines()
    if "Other/Proprietary License" in classifiers and text:
        classifiers.remove("Other/Proprietary License")
        classifiers.append(text[0])
    named = [name for name in classifiers if name not in NO_LICENSE]
    return "; ".join(named) or (text[0] if text else "not said")


def kind(name: str, text: str) -> str:
    """The first kind that all parts of an expression belong to; each part may also belong to an earlier one."""
    if name in NAMED:
        return NAMED[name]
    parts = [part.strip(" ()") for part in SEPARATORS.split(text) if part.strip(" ()")]
    allowed = ""
    for label, pattern in KINDS.items():
        allowed = f"{allowed}|{pattern}".strip("|")
        if parts and all(re.search(allowed, part, re.IGNORECASE) for part in parts):
            return label
    return "to be looked at"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for distribution in distributions():
        name, text = distribution.metadata["Name"], license(distribution)
        found[kind(name, text)][f"{name} {distribution.version}"] = text
    for label in (*KINDS, "to be looked at"):
        print(f"{label}: {len(found[label])}")
        for name, text in sorted(found[label].items(), key=lambda item: item[0].lower()):
            print(f"    {name:45} {text}")
    raise SystemExit(bool(found["to be looked at"]))


if __name__ == "__main__":
    main()
