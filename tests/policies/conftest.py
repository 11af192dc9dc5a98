"""A small dataset, and one short `lerobot-train` run of every policy type."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.factory import make_policy
from lerobot_commands import REPO_ID, lerobot_train, make_small_dataset
from training_options import SOURCE_OF, options

from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def session_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def trained(tmp_path_factory, session_monkeypatch, dataset) -> Callable[..., Path]:
    """Gives the last checkpoint of a short run of a policy type with a backbone, the U-Net unless told; each is trained
    once, behind what it is made from."""

    @cache
    def checkpoint(kind: str, backbone: str = "unet") -> Path:
        source = checkpoint(SOURCE_OF[kind], backbone) if kind in SOURCE_OF else None
        output = tmp_path_factory.mktemp("runs") / kind
        return lerobot_train(session_monkeypatch, dataset, output, *options(kind, source, backbone))

    return checkpoint


@pytest.fixture(scope="session")
def teacher(trained) -> Path:
    return trained("dp3")


@pytest.fixture(scope="session")
def student(trained) -> Path:
    return trained("sdm")


@pytest.fixture
def build_student(dataset, teacher):
    """Builds an `sdm` student in training as `lerobot-train` does; of another teacher than `dp3`'s U-Net if told."""

    def make(of: Path = teacher, **kwargs) -> SDMPolicy:
        config = SDMConfig(
            teacher_path=str(of),
            device="cpu",
            push_to_hub=False,
            **{
                "recipe": "dmd",
                "warmup_steps": 2,
                "critic_lead_steps": 0,
                "fake_updates_per_generator_update": 3,
                **kwargs,
            },
        )
        return make_policy(config, ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset)).train()

    return make
