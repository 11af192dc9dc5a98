"""A small dataset, and one short `lerobot-train` run of every policy type."""

from pathlib import Path

import pytest
from lerobot_commands import SMALL_DP3, lerobot_train, make_small_dataset

import lerobot_sdm  # noqa: F401  (registers the policy types)

TYPE_OPTIONS = {
    "dp3": SMALL_DP3,
    "sdm": ("--policy.warmup_steps=4", "--policy.fake_updates_per_generator_update=2"),
}
"""How each policy type is trained in these tests; students get the dp3 run as their teacher."""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="session")
def session_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def teacher(tmp_path_factory, session_monkeypatch, dataset) -> Path:
    return lerobot_train(session_monkeypatch, dataset, tmp_path_factory.mktemp("runs") / "teacher", *options("dp3"))


@pytest.fixture(scope="session")
def student(tmp_path_factory, session_monkeypatch, dataset, teacher) -> Path:
    output = tmp_path_factory.mktemp("runs") / "student"
    return lerobot_train(session_monkeypatch, dataset, output, *options("sdm", teacher))


def options(kind: str, teacher: Path | None = None) -> tuple[str, ...]:
    """Command-line options that train a policy type."""
    needs_teacher = () if kind == "dp3" else (f"--policy.teacher_path={teacher}",)
    return (f"--policy.type={kind}", *TYPE_OPTIONS[kind], *needs_teacher)
