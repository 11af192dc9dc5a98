"""A small dataset, and one short `lerobot-train` run of every policy type."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lerobot_commands import SMALL_DP3, lerobot_train, make_small_dataset

import lerobot_sdm  # noqa: F401  (registers the policy types)

TYPE_OPTIONS = {
    "consistency": (),
    "dp3": SMALL_DP3,
    "edm": (*SMALL_DP3, "--policy.num_inference_steps=4"),
    "manicm": (),
    "sdm": ("--policy.warmup_steps=4", "--policy.fake_updates_per_generator_update=2"),
}
"""How each policy type is trained in these tests."""

TEACHER_OF = {"consistency": "edm", "manicm": "dp3", "sdm": "dp3"}
"""Student -> type of its teacher."""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def session_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def trained(tmp_path_factory, session_monkeypatch, dataset) -> Callable[[str], Path]:
    """Gives the last checkpoint of a short run of a policy type; each type is trained once, its teacher before it."""

    @cache
    def checkpoint(kind: str) -> Path:
        teacher = checkpoint(TEACHER_OF[kind]) if kind in TEACHER_OF else None
        output = tmp_path_factory.mktemp("runs") / kind
        return lerobot_train(session_monkeypatch, dataset, output, *options(kind, teacher))

    return checkpoint


@pytest.fixture(scope="session")
def teacher(trained) -> Path:
    return trained("dp3")


@pytest.fixture(scope="session")
def student(trained) -> Path:
    return trained("sdm")


def options(kind: str, teacher: Path | None = None) -> tuple[str, ...]:
    """Command-line options that train a policy type."""
    needs_teacher = (f"--policy.teacher_path={teacher}",) if kind in TEACHER_OF else ()
    return (f"--policy.type={kind}", *TYPE_OPTIONS[kind], *needs_teacher)
