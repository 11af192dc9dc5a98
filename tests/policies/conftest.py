"""A small dataset, and one short `lerobot-train` run of every policy type."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lerobot_commands import lerobot_train, make_small_dataset
from training_options import SOURCE_OF, options


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
