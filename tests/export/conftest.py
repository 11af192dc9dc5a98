"""A dataset, and exported policies that several tests read."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lerobot_commands import make_small_dataset
from saved_checkpoints import SAVED
from small_exports import PACKAGES, TOLERANCES, order

from lerobot_sdm.export.graph import PolicyGraph
from lerobot_sdm.export.write import export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "small")


@pytest.fixture(scope="module")
def policies() -> Path:
    """Folder of the policies to export by name: the saved checkpoints."""
    return SAVED


@pytest.fixture(scope="module", autouse=True)
def shared_traces():
    """A policy's trace, which takes longest, is the same for all formats."""
    traces, trace = {}, PolicyGraph.trace

    def shared(graph: PolicyGraph, dynamic_points: bool):
        key = repr(graph.config), dynamic_points
        if key not in traces:
            traces[key] = trace(graph, dynamic_points)
        return traces[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PolicyGraph, "trace", shared)
        yield


@pytest.fixture(scope="module")
def exported(dataset, policies, tmp_path_factory) -> Callable[..., Path]:
    """Gives the folder of a checkpoint's export; each is written once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(policies)

        @cache
        def write(policy: str, format_: str = "onnx", precision: str = "float32", points: str = "fixed") -> Path:
            pytest.importorskip(PACKAGES[format_])
            output = tmp_path_factory.mktemp("exported") / "folder"
            settings = {"format": format_, "precision": precision, "points": points}
            export(order(dataset, output, policy, tolerance=TOLERANCES[precision], **settings))
            return output

        yield write
