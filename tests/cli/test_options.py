"""Values of options arrive as they were given, whatever a path is called."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lerobot_sdm.cli.options import parse_options


@dataclass
class Inner:
    assets_dir: str | None = None


@dataclass
class Config:
    root: Path | None = None
    name: str | None = None
    plain: str = "x"
    numbers: list[int] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)


NAMES = (
    "Tür öffnen",
    "a,b=c",
    "v1.2",
    "1.5",
    "run #1",
    "#1",
    "a: b",
    "[d]",
    "{a}",
    "*x",
    "&y",
    "!z",
    "%w",
    "@q",
    "true",
)
NAMES += ("012", "2024-01-01", "- a", "a\\b", "~/x", "it's")


@pytest.mark.parametrize("value", NAMES)
def test_paths_and_texts_arrive_whole(value):
    config = parse_options(Config, [f"--root={value}", f"--name={value}", f"--plain={value}"])
    assert (config.root, config.name, config.plain) == (Path(value), value, value)


@pytest.mark.parametrize("value", ["Tür öffnen", "a,b=c", "v1.2", "run #1", "#1", "*x", "&y", "!z", "%w", "@q"])
def test_no_path_of_a_nested_configuration_is_cut(value):
    assert parse_options(Config, [f"--inner.assets_dir={value}"]).inner.assets_dir == value


def test_what_is_no_text_stays_what_it_is():
    config = parse_options(Config, ["--numbers=[1, 2]", "--root=null", "--name='quoted'"])
    assert (config.numbers, config.root, config.name) == ([1, 2], None, "quoted")
