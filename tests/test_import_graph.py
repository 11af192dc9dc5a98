"""The packages as layers: imports only go down, no two files import each other, and the guide lists the same layers.

Counted are imports inside functions and for type checking, too, and modules that are named as strings, as in
`importlib.import_module("lerobot_sdm.policies.dp3")`.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "lerobot_sdm"

LAYERS = (
    ("errors", "files", "lerobot_internals", "outlines", "policy_types", "quiet", "registration", "versions"),
    ("clouds", "diffusion", "help_texts", "locks", "optim", "processes", "safe_files", "specs"),
    ("nets", "processors"),
    ("envs",),
    ("cards", "experts", "robots"),
    ("policies",),
    ("datasets", "rewards"),
    ("viewing",),
    ("plugin",),
    ("checkpoints", "measure", "serving"),
    ("export", "hub"),
    ("demo",),
    ("cli",),
    ("lerobot_sdm",),
)
"""From the ground up; the last one is `lerobot_sdm/__init__.py`. Nothing imports its own layer or one above."""

CLIMBING = {
    ("policy_types", "policies"): "The table of policy types names their packages, to import the one that is asked for",
    ("measure", "cli"): "The quickstart and the benchmark run commands, in processes that have imported them before",
}
"""Allowed exceptions, importer and imported, with their reason. All of them name modules as strings."""

LEVEL = {package: level for level, layer in enumerate(LAYERS) for package in layer}
MODULE = re.compile(r"(lerobot_sdm(?:\.\w+)+)(?::\w+)?")


def module_name(file: Path) -> str:
    parts = [ROOT.name, *file.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(ROOT.rglob("*.py"))}


def package_of(module: str) -> str:
    """The folder or file below `lerobot_sdm/` that holds a module."""
    return module.split(".")[1] if "." in module else module


def known_module(name: str) -> str | None:
    """The module that a dotted name is, or is defined in; None for other packages' modules."""
    while name not in FILES and "." in name:
        name = name.rpartition(".")[0]
    return name if name in FILES else None


def imports(module: str, strings: bool) -> Iterator[str]:
    """Modules of this package that a module imports, or names in strings."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports by a relative name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif strings and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = MODULE.fullmatch(node.value)
            names = [found[1]] if found and known_module(found[1]) != ROOT.name else []
        yield from {known for name in names if (known := known_module(name)) not in (None, module)}


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down(module):
    package = package_of(module)
    for imported in imports(module, strings=True):
        lower = package_of(imported)
        if lower != package and (package, lower) not in CLIMBING:
            assert LEVEL[lower] < LEVEL[package], f"{module} imports {imported}, which is not below it"


def test_exceptions_are_needed():
    used = {(package_of(module), package_of(found)) for module in FILES for found in imports(module, strings=True)}
    assert used >= CLIMBING.keys()
    assert len(CLIMBING) <= 2


def test_layers_are_the_packages():
    assert {package_of(module) for module in FILES} == set(LEVEL)
    assert len(LEVEL) == sum(map(len, LAYERS))


def test_no_two_files_import_each_other():
    list(TopologicalSorter({module: set(imports(module, strings=False)) for module in FILES}).static_order())


def test_guide_lists_the_layers():
    guide = (ROOT.parent / "CONTRIBUTING.md").read_text()
    listed = re.findall(r"^\d+\. (.+)$", guide.partition("## The layers")[2].partition("\n## ")[0], re.MULTILINE)
    found = [set(re.findall(r"`([\w/]+?)(?:\.py|/)?`", line)) for line in listed]
    assert found == [set(layer) for layer in LAYERS[:-1]]
