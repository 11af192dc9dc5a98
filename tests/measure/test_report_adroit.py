"""The report's own measurements in an environment whose states do not hold the hand's position."""

from dataclasses import replace

import imageio.v3 as iio
import pytest
from adroit_files import write_policy

from lerobot_sdm.cli.record import parse
from lerobot_sdm.datasets.record import record
from lerobot_sdm.files import read_json
from lerobot_sdm.measure import measurements, plan, quickstart_report
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.sizes import preset


@pytest.fixture
def config(tmp_path):
    policy = tmp_path / "door.pickle"
    write_policy(policy, (39, 8, 28))
    return replace(
        preset("small", "door", "adroit"),
        held_out_episodes=1,
        eval_episodes=2,
        env={"episode_length": 4, "num_points": 200},
        record={"expert": "dapg", "expert_path": str(policy), "keep": "all"},
    )


def test_cloud_stands_upright_without_paths(config, tmp_path):
    layout = RunLayout(tmp_path / "run")
    _, _, *arguments = plan.record_stage(config, layout, held_out=True).command
    record(parse(arguments))
    quickstart_report.draw_demonstrations(config, layout, tmp_path / "cloud.png")
    assert iio.imread(tmp_path / "cloud.png")[..., :3].std() > 5  # not an empty page


def test_the_expert_is_measured_by_every_rule(config, tmp_path):
    layout = RunLayout(tmp_path / "run")
    measurements.measure_expert(config, layout)
    told = read_json(layout.expert)
    assert told["seeds"] == [100_000, 100_001]
    assert told["successes"] == told["other_rules"]["ever"] == [False, False]  # a policy of random weights
