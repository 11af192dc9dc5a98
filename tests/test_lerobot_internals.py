"""The table of LeRobot's internals: every entry exists as described, and every import and patch has an entry."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lerobot_sdm.lerobot_internals import INTERNALS, PUBLIC, Internal, patch

PACKAGE = Path(__file__).parents[1] / "lerobot_sdm"
FILES = {str(file.relative_to(PACKAGE).with_suffix("")): file for file in sorted(PACKAGE.rglob("*.py"))}

LOOK = """
import functools, importlib, inspect, json, sys
from lerobot_sdm.lerobot_internals import INTERNALS

def resolve(name):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue
        return functools.reduce(getattr, parts[cut:], found)

def lacks(row):
    try:
        found = resolve(row.name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if row.parameters:
        missing = set(row.parameters) - set(inspect.signature(found).parameters)
        if missing:
            return f"no parameters {sorted(missing)}"
    missing = [text for text in row.mentions if text not in inspect.getsource(found)]
    return f"its source does not mention {missing}" if missing else ""

lacking = {row.name: lacks(row) for row in INTERNALS}

from lerobot_sdm.lerobot_internals import PATCHED
assert not PATCHED
import lerobot_policy_sdm
import lerobot.datasets.factory, lerobot.datasets.sampler
from lerobot_sdm.serving.policy_server import install
install()
print(json.dumps([lacking, PATCHED]))
"""
"""What LeRobot lacks before this package patches anything, and what this package then patches."""


def printed(code: str, folder: Path) -> object:
    """What a program in a new process prints as its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def looked(tmp_path_factory) -> tuple[dict[str, str], list[str]]:
    return printed(LOOK, tmp_path_factory.mktemp("look"))


@pytest.fixture(scope="module")
def lacking(looked) -> dict[str, str]:
    """Internal -> what the installed LeRobot, without this package's patches, lacks of it."""
    return looked[0]


@pytest.mark.parametrize("row", INTERNALS, ids=lambda row: row.name)
def test_the_installed_lerobot_has_it(row, lacking):
    assert not lacking[row.name], f"{row.name} ({row.why}): {lacking[row.name]}. Check {row.check}."


@pytest.mark.parametrize("row", INTERNALS, ids=lambda row: row.name)
def test_it_is_used_where_the_table_says(row):
    assert row.where
    assert set(row.where) <= set(FILES), f"{row.name}: no such files {sorted(set(row.where) - set(FILES))}"
    assert row.why
    assert row.check


def test_names_are_unique():
    names = [row.name for row in INTERNALS]
    assert len(names) == len(set(names))


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a module imports from LeRobot; the name is empty for a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lerobot":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "lerobot")


def unlisted(file: str, tree: ast.AST, rows: tuple[Internal, ...] = INTERNALS) -> list[str]:
    """What a file imports from LeRobot that is neither public nor listed for this file."""
    # A listed class stands for its module, and for what hangs on it.
    listed = {row.name for row in rows if file in row.where}
    found = []
    for module, name in imports(tree):
        full = f"{module}.{name}".removesuffix(".")
        is_public = module in PUBLIC and not name.startswith("_")
        if not is_public and not any(known == full or known.startswith(f"{full}.") for known in listed):
            found.append(full)
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_import_is_public_or_listed(file):
    assert unlisted(file, ast.parse(FILES[file].read_text())) == []


LIBRARIES = ("lerobot", "draccus", "datasets")


def patches(tree: ast.AST) -> list[int]:
    """Lines that assign to an attribute of a module or class of LeRobot, or of a library through which it works."""
    foreign = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                if (module or alias.name).partition(".")[0] in LIBRARIES:
                    foreign.add(alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, ast.arg) and node.annotation is not None and ast.unparse(node.annotation) == "ModuleType":
            foreign.add(node.arg)
    lines = []
    for node in sorted((n for n in ast.walk(tree) if hasattr(n, "lineno")), key=lambda n: (n.lineno, n.col_offset)):
        if isinstance(node, ast.Assign):
            targets, values = node.targets, [node.value]
            if isinstance(targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                targets, values = targets[0].elts, node.value.elts
            for target, value in zip(targets, values * len(targets) if len(values) == 1 else values, strict=False):
                if isinstance(target, ast.Name) and isinstance(value, ast.Attribute) and root(value) in foreign:
                    foreign.add(target.id)
                elif isinstance(target, ast.Attribute) and root(target) in foreign:
                    lines.append(node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr" and root(node.args[0]) in foreign:
            lines.append(node.lineno)
    return lines


def root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("file", [file for file in FILES if file != "lerobot_internals"])
def test_every_patch_goes_through_the_helper(file):
    assert patches(ast.parse(FILES[file].read_text())) == []


def test_patches_and_imports_are_found():
    """The two checks above are no rubber stamps."""
    code = (
        "from types import ModuleType\nfrom lerobot.scripts import lerobot_train\nimport lerobot.envs.utils\n"
        "lerobot_train.train = None\ndef install(module: ModuleType):\n    sampler = module.Sampler\n"
        "    sampler.epoch = 1\n    setattr(sampler, 'x', 2)\n    mine.x = 3\n"
    )
    assert patches(ast.parse(code)) == [4, 7, 8]
    assert unlisted("quiet", ast.parse(code)) == ["lerobot.scripts.lerobot_train", "lerobot.envs.utils"]
    assert unlisted("quiet", ast.parse("from lerobot.envs import _private")) == ["lerobot.envs._private"]


def test_what_is_patched_is_listed_and_what_is_listed_is_patched(looked):
    done = looked[1]
    listed = {row.name for row in INTERNALS if row.patched}
    # A method that LeRobot lacks is listed as its class.
    named = {place if place in listed else place.rpartition(".")[0] for place in done}
    assert named == listed


def test_a_patch_of_something_that_moved_fails_by_name():
    import lerobot.envs.utils as utils

    with pytest.raises(AttributeError, match=r"^lerobot\.envs\.utils\.no_such_thing: is missing .*lerobot_versions"):
        patch(utils, "no_such_thing", None)
    assert not hasattr(utils, "no_such_thing")


def test_the_table_is_light():
    code = "import sys, json, lerobot_sdm.lerobot_internals\nprint(json.dumps('lerobot' in sys.modules))"
    assert printed(code, PACKAGE) is False
