"""The benchmark of conversions compares `convert` with a loop that writes the same dataset."""

import numpy as np
from example_scripts import load_script
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from lerobot_sdm.datasets.convert.run import ConvertConfig, convert


def test_the_plain_loop_writes_what_convert_writes(tmp_path):
    script, source = load_script("benchmarks/convert.py"), tmp_path / "store.zarr"
    script.write_synthetic(source, episodes=2, frames=3)
    script.plain_loop(source, tmp_path / "plain")
    convert(ConvertConfig(source, fps=10, repo_id="local/plain", root=tmp_path / "converted"))
    plain, converted = (LeRobotDataset("local/plain", root=tmp_path / name) for name in ("plain", "converted"))
    assert len(plain) == len(converted) == 6
    for ours, theirs in zip(converted, plain, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ("observation.state", "action", "observation.point_cloud", "timestamp", "episode_index"):
            np.testing.assert_array_equal(ours[key], theirs[key])
