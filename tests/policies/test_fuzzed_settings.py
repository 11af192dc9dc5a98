"""Settings of any kind and value, in a checkpoint's `config.json` and on the command line: a policy that acts, or a
sentence that names the setting. Never an exception from the depths, never memory without bounds."""

import copy
import json
import math
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import draccus
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lerobot.configs.policies import PreTrainedConfig
from training_options import TYPE_OPTIONS

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.guards import NonFiniteError
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
LIMITS = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
MEMORY = 3 * 2**30
"""Bytes that a test may ask for on top of what the process has."""

VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 10**7, 10**12, -(10**12), 0.0, 0.5, -0.5, 1e-300, 1e300, math.nan, math.inf,
    "", "abc", "3", "1e9", "MIN_MAX", [], [1], [0], [-1], [1, 2, 3], [10**9], ["a"], [[1]], [math.nan] * 2, {},
    {"a": 1},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _bounds(monkeypatch) -> Iterator[None]:
    """Of memory; and a path that is no folder is not looked for on the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The way to every entry of nested dictionaries."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))


def mutated(config: dict, place: tuple, how: str, value: Any) -> dict:
    """A copy with one entry replaced, left out, or joined by one that nobody knows."""
    config = copy.deepcopy(config)
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    if how == "leave out":
        del inner[place[-1]]
    elif how == "add":
        inner[f"{place[-1]}_"] = value
    else:
        inner[place[-1]] = value
    return config


def act(policy) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    seen = {key: torch.rand(2, *f.shape, generator=random) for key, f in policy.config.input_features.items()}
    return policy.select_action(seen)


def assert_clear(error: BaseException, place: tuple) -> None:
    """One of the exceptions that are meant for people, and the setting in its words."""
    assert isinstance(error, (ValueError, draccus.ParsingError, draccus.utils.DecodingError)), repr(error)
    # What contradicts something else may be named by that: weights by their names, a list by its length.
    assert isinstance(error, InputError) or any(str(part) in str(error) for part in place), str(error)


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
@LIMITS
@given(data=st.data())
def test_any_config_file(kind, trained, tmp_path_factory, data):
    folder = trained(kind)
    config = json.loads((folder / "config.json").read_text())
    place = data.draw(st.sampled_from(sorted(places(config))))
    how = data.draw(st.sampled_from(("replace", "replace", "replace", "leave out", "add")))
    value = data.draw(st.sampled_from(VALUES))
    broken = tmp_path_factory.mktemp("broken")
    for file in folder.iterdir():
        if file.name != "config.json":
            (broken / file.name).symlink_to(file)
    (broken / "config.json").write_text(json.dumps(mutated(config, place, how, value)))
    try:
        action = act(load_from_spec(PolicySpec("x", str(broken))).policy)
    except NonFiniteError:
        pass
    except Exception as error:
        assert_clear(error, place)
    else:
        assert action.shape == (2, 4)
        assert action.isfinite().all()
    finally:
        shutil.rmtree(broken)


@pytest.mark.parametrize("kind", sorted(config_classes()))
def test_every_option_with_every_value(kind):
    """As LeRobot's commands read `--policy.NAME=VALUE`, or a settings file that holds the same."""
    for item in fields(config_classes()[kind]):
        for value in VALUES:
            try:
                draccus.decode(PreTrainedConfig, {"type": kind, "device": "cpu", item.name: value})
            except Exception as error:
                assert_clear(error, (item.name,))
