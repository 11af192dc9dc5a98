"""The project's words: docs, docstrings and messages use the field's terms and American spelling."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "maintenance"))

from docs_commands import FENCE, pages  # noqa: E402

LEFT_OUT = {
    r"read-?outs?\b": "one-step sample, or 1-step teacher",
    r"\bcontenders?\b": "policy spec, or policy",
    r"live taps?\b": "trimmed convolution",
    r"behind (each|every) (optimizer )?step": "after each optimizer step",
    r"what costs nothing": "free baselines",
    r"thin(ned|s|ning)? out": "subsample",
    r"polite(ly)?\b": "exits on SIGTERM",
    r"strangers?\b": "untrusted",
    r"slip of the pen": "typo",
    r"what is not listed here": "see `X` for inherited fields",
    r"mended\b": "fixed, recovered",
    r"data sets?\b": "dataset",
    r"(un|de|re)?normalis": "normalize",
    r"colour": "color",
    r"neighbour|behaviour|favour": "-or",
    r"\bcent(re|red|res|ring)\b": "center",
    r"(kilo|centi|milli)?metres?\b": "meter",
    r"(optim|initial|synchron|random|visual|serial|summar|recogn|general|minim|maxim)is(e|ed|es|ing|ation)\b": "-ize",
}
"""What is not written, and what is written instead."""
KEPT = {"centre", "colour", "lerobot.datasets.depth_utils.MM_PER_METRE"}
"""Whole strings that are names: a buffer of saved reward models, a word in names of arrays, and a constant
of LeRobot."""
PROSE = [*pages(), *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md"))]
CODE = sorted((ROOT / "lerobot_sdm").rglob("*.py"))


NAMES = re.compile(r"`[^`\n]*`|\]\([^)]*\)|\bresults/\S+|^ +\w+: ", re.MULTILINE)
"""Code, targets of links, names of arguments: what a text can only repeat."""


def found(text: str) -> list[str]:
    """Left-out words in a text, each with what to write."""
    text = NAMES.sub(" ", text)
    hits = ((re.search(pattern, text, re.IGNORECASE), better) for pattern, better in LEFT_OUT.items())
    return [f"'{hit[0]}': write {better}" for hit, better in hits if hit]


def strings(file: Path) -> Iterator[str]:
    """Docstrings, messages and other strings of a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in KEPT:
            yield node.value


def test_words_are_found():
    assert found("A data set of Colours.") == ["'data set': write dataset", "'Colour': write color"]
    assert found("A dataset of colors.") == []


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page):
    assert found(FENCE.sub("", page.read_text())) == []


def test_docstrings_and_messages():
    hits = {str(file.relative_to(ROOT)): [hit for text in strings(file) for hit in found(text)] for file in CODE}
    assert {name: words for name, words in hits.items() if words} == {}
