"""One name, one thing: no two classes share a name, nor two files of a package."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1] / "lerobot_sdm"
FILES = sorted(ROOT.rglob("*.py"))


def repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: found for name, found in places.items() if len(found) > 1}


def test_classes():
    places = defaultdict(list)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert len(places) > 200
    assert repeated(places) == {}


def test_files():
    """Families of environments have the same files, and their folders say which family it is."""
    families = [path.parent for path in ROOT.glob("envs/*/configuration.py")]
    assert len(families) > 3
    places = defaultdict(list)
    for file in FILES:
        if file.name != "__init__.py" and file.parent not in families:
            relative = file.relative_to(ROOT)
            places[f"{relative.parts[0]}: {file.name}"].append(str(relative))
    assert repeated(places) == {}
