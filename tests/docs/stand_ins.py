"""A folder in which the documentation's commands can be decoded: the files that they name, made on the spot."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import make_policy_config
from lerobot.utils.constants import POLICY_POSTPROCESSOR_DEFAULT_NAME, POLICY_PREPROCESSOR_DEFAULT_NAME

PATH_FIELDS = ("path", "teacher_path", "base_path")
KINDS = {
    "consistency": "consistency",
    "edm": "edm",
    "meanflow": "meanflow",
    "flow": "flow",
    "drift": "drift",
    "manicm": "manicm",
    "difftori": "difftori",
    "diffusion": "diffusion",
    "tuned": "diffusion",
    "sdm": "sdm",
    "student": "sdm",
}
"""Type of the policy at a path, by a word of it; the first that fits counts, and otherwise it is a `dp3`."""

TEACHERS = {"sdm": "dp3", "manicm": "dp3", "consistency": "edm", "difftori": "dp3"}
FEATURES = {
    "observation.state": PolicyFeature(FeatureType.STATE, (9,)),
    "observation.point_cloud": PolicyFeature(FeatureType.STATE, (512, 3)),
}
# LeRobot's own policy knows no clouds.
KEYPOINTS = {
    "observation.state": PolicyFeature(FeatureType.STATE, (2,)),
    "observation.environment_state": PolicyFeature(FeatureType.ENV, (16,)),
}


def policy_paths(arguments: Iterable[str]) -> set[str]:
    """Policies that a command of LeRobot names, itself or in its config file."""
    found = set()
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        group, _, field = name.partition(".")
        if group in ("policy", "reward_model") and field in PATH_FIELDS:
            found.add(value)
        if name == "config_path":
            settings = yaml.safe_load(Path(value).read_text())
            trained = settings.get("policy") or settings.get("reward_model")
            found |= {trained[field] for field in PATH_FIELDS if field in trained}
    return found


def kind_of(path: str) -> str:
    """Type of the policy that a path stands for."""
    words = [word for word in KINDS if word in path]
    return KINDS[words[0]] if words else "dp3"


def make_policy(path: Path) -> None:
    """The configuration of a policy, and empty processors; nothing here reads weights."""
    if path.exists():
        return
    path.mkdir(parents=True)
    policy_config(kind_of(str(path)))._save_pretrained(path)
    steps = {POLICY_PREPROCESSOR_DEFAULT_NAME: "normalizer_processor"}
    steps |= {POLICY_POSTPROCESSOR_DEFAULT_NAME: "unnormalizer_processor"}
    for name, step in steps.items():
        (path / f"{name}.json").write_text(json.dumps({"name": name, "steps": [{"registry_name": step}]}))


@cache
def policy_config(kind: str) -> PreTrainedConfig:
    """A configuration of a type, in its own default size."""
    settings = {"device": "cpu", "push_to_hub": False}
    if kind in TEACHERS:
        teacher = Path("stand-ins") / TEACHERS[kind]
        make_policy(teacher)
        settings["base_path" if kind == "difftori" else "teacher_path"] = str(teacher)
    config = make_policy_config(kind, **settings)
    config.input_features = dict(KEYPOINTS if kind == "diffusion" else FEATURES)
    config.output_features = {"action": PolicyFeature(FeatureType.ACTION, (4,))}
    return config
