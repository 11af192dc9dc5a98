"""`--env.type=dexart`: DexArt's tasks with point clouds for LeRobot's commands."""

from dataclasses import dataclass
from typing import Any, ClassVar

from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.envs.dexart.control import ACTION_SIZE
from lerobot_sdm.envs.dexart.imagination import COLUMNS, MODES, POINTS
from lerobot_sdm.envs.dexart.sources import body_source
from lerobot_sdm.envs.dexart.tasks import RULE_SETS, dexart_task
from lerobot_sdm.envs.dexart.views import HUMAN, OBSERVER, SAMPLINGS, views
from lerobot_sdm.envs.options import CloudOptions, require_not_negative
from lerobot_sdm.errors import check_known
from lerobot_sdm.registration import registered

CONTROL_RATE = 25


@registered(EnvConfig, "dexart")
@dataclass
class DexArtPointCloudEnvConfig(PointCloudEnvConfig):
    """DexArt's tasks observed as point clouds, with objects made by this package or the official ones.

    Besides the fields of `PointCloudEnvConfig`. Cameras are `instance_1`, DexArt's, and `viewer`, the one of videos;
    the frame `legacy` is the base of the robot. The view `dp3` has the rule set's numbers of points and pixels.
    `num_points` does not count points of the hand, and `show_goal` has no effect, since no goal is hidden.

    Args:
        task: `laptop`, `faucet`, `bucket` or `toilet`. Their observations differ, so a policy fits one task.
        fps: Control steps per second: 25.
        objects: `seen`, `unseen`, or comma-separated names of objects; each episode draws one of them.
        assets_dir: Folder of the official assets; null for stand-ins. Results of the two are not comparable.
        rule_set: `dp3`, the success rules and observations of DP3, ManiCM and SDM, or `dexart`, those of DexArt.
        imagin_robot: `none`; `apart`, points of the hand as `observation.imagin_robot` (96, 7), as imported
            checkpoints take them; or `joined`, the same points in front of the cloud, which any policy can take.
        sampling: How clouds are subsampled: `random`, as DexArt does, or `fps`, farthest points first; null for the
            view's, `fps` for `workspace` and `random` for `dp3`.
        cloud_noise: Relative standard deviation by which points are scaled away from the origin.
        camera_jitter: Scale of the camera's pose change between episodes; 1 is DexArt's, 0 none.
        episode_length: Control steps after which an episode is truncated; null for the rule set's.
        terminate_on_success: Whether an episode ends as soon as the rule set lets it.

    Raises:
        InputError: For an invalid value, or incomplete assets, before any environment is built.
    """

    min_success_steps: ClassVar[int] = 1

    task: str = "laptop"
    fps: int = CONTROL_RATE
    objects: str = "seen"
    assets_dir: str | None = None
    rule_set: str = "dp3"
    imagin_robot: str = "none"
    sampling: str | None = None
    cloud_noise: float = 0.005
    camera_jitter: float = 1.0
    episode_length: int | None = None
    terminate_on_success: bool = True

    def __post_init__(self) -> None:
        task = dexart_task(self.task)
        check_known("rule_set", self.rule_set, RULE_SETS)
        check_known("imagin_robot", self.imagin_robot, MODES)
        if self.sampling is not None:
            check_known("sampling", self.sampling, SAMPLINGS)
        self._set_rate(CONTROL_RATE, "DexArt's control rate")
        require_not_negative("cloud_noise", self.cloud_noise)
        require_not_negative("camera_jitter", self.camera_jitter)
        self._describe(task.agent_pos_size, ACTION_SIZE, cameras=(OBSERVER, HUMAN))
        if self.imagin_robot == "apart":
            self.features["imagin_robot"] = PolicyFeature(FeatureType.STATE, (POINTS, COLUMNS))
            self.features_map["imagin_robot"] = "observation.imagin_robot"
        elif self.imagin_robot == "joined":
            rows, channels = self.features["point_cloud"].shape
            self.features["point_cloud"] = PolicyFeature(FeatureType.STATE, (rows + POINTS, channels))
        body_source(self.assets_dir, self.task, self.objects)

    def views(self, task: str) -> dict[str, CloudOptions]:
        return views(RULE_SETS[self.rule_set])

    def cloud_view(self) -> dict[str, Any]:
        return super().cloud_view() | {"imagin_robot": self.imagin_robot}

    def dataset_name(self, task: str) -> str:
        return f"dexart-{task}" if self.assets_dir is None else f"dexart-official-{task}"
