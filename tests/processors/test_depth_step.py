"""The processor step as LeRobot's pipelines meet it: shapes, number types, saving and loading."""

import numpy as np
import pytest
import torch
from depth_world import COLOR_KEY, CROP, DEPTH_KEY, SIZE, DepthWorld
from lerobot.configs.types import FeatureType, PipelineFeatureType, PolicyFeature
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.processor import PolicyProcessorPipeline

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.processors.depth_to_cloud import DepthToCloud

POINTS = 64


@pytest.fixture(scope="module")
def world():
    world = DepthWorld()
    world.reset(seed=0)
    yield world
    world.close()


@pytest.fixture(scope="module")
def pictures(world) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) uint16 in millimeters and color (H, W, 3) uint8."""
    observation = world.observe()
    return observation["depth"][..., 0], observation["pixels"]


@pytest.fixture
def step(world) -> DepthToPointCloudStep:
    return DepthToPointCloudStep([world.calibration(color_key=COLOR_KEY)], CROP, POINTS)


@pytest.fixture
def expected(step, pictures) -> torch.Tensor:
    depth, color = pictures
    return torch.from_numpy(DepthToCloud(step.config)({DEPTH_KEY: depth, COLOR_KEY: color}))


def test_what_a_robot_gives(step, pictures, expected):
    """LeRobot's own preparation of a frame at inference: uint16 stays uint16, channels go first, a batch of one."""
    depth, color = pictures
    frame = {DEPTH_KEY: depth[..., None], COLOR_KEY: color}
    observation = prepare_observation_for_inference(frame, torch.device("cpu"), "push", "robot")
    cloud = step.observation(observation)
    torch.testing.assert_close(cloud[POINT_CLOUD], expected[None], rtol=0, atol=0)
    assert DEPTH_KEY not in cloud
    assert cloud["task"] == "push"


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint16, torch.int32])
@pytest.mark.parametrize(
    ("layout", "leading"),
    [
        *[("first", leading) for leading in ((), (3,), (2, 2), (2, 3))],
        *[("last", leading) for leading in ((), (3, 2), (2, 3))],
        *[("none", leading) for leading in ((), (3,))],
    ],
)
def test_any_layout_gives_the_same_clouds(step, pictures, expected, layout, dtype, leading):
    depth, color = (torch.from_numpy(picture.astype(np.int32)) for picture in pictures)
    depth = depth.to(dtype)
    depth = {"first": depth[None], "last": depth[..., None], "none": depth}[layout]
    color = (color.permute(2, 0, 1).float() / 255) if layout == "first" else color.to(torch.uint8)
    observation = {DEPTH_KEY: depth.expand(*leading, *depth.shape), COLOR_KEY: color.expand(*leading, *color.shape)}
    cloud = step.observation(observation)[POINT_CLOUD]
    assert cloud.dtype == torch.float32
    torch.testing.assert_close(cloud, expected.expand(*leading, POINTS, 6), rtol=0, atol=0)


@pytest.mark.parametrize("key", ["observation.point_cloud", "observation.pointcloud"])
def test_an_observation_with_a_cloud_is_left_alone(step, key):
    observation = {key: torch.ones(1, 5, 3), "observation.state": torch.zeros(1, 2)}
    assert step.observation(observation) is observation


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        ({"observation.state": torch.zeros(2)}, DEPTH_KEY),
        ({DEPTH_KEY: torch.ones(1, SIZE, SIZE)}, COLOR_KEY),
        ({DEPTH_KEY: torch.ones(1, 1, 48, 64), COLOR_KEY: torch.ones(1, 3, 48, 64)}, "(1, 1, 48, 64)"),
        ({DEPTH_KEY: torch.ones(1, 3, SIZE, SIZE), COLOR_KEY: torch.ones(1, 3, SIZE, SIZE)}, "depth image"),
        ({DEPTH_KEY: torch.ones(1, SIZE, SIZE), COLOR_KEY: torch.ones(1, SIZE, SIZE)}, "color image"),
        ({DEPTH_KEY: torch.ones(2, 1, SIZE, SIZE), COLOR_KEY: torch.ones(1, 3, SIZE, SIZE)}, "leading"),
    ],
)
def test_images_that_do_not_fit_are_named(step, observation, says):
    with pytest.raises(InputError) as caught:
        step.observation(observation)
    assert says in str(caught.value)


def test_features_lose_the_depth_image_and_gain_the_cloud(step):
    image = PolicyFeature(FeatureType.VISUAL, (1, SIZE, SIZE))
    features = step.transform_features({PipelineFeatureType.OBSERVATION: {DEPTH_KEY: image}})
    cloud = PolicyFeature(FeatureType.STATE, (POINTS, 6))
    assert features == {PipelineFeatureType.OBSERVATION: {POINT_CLOUD: cloud}}


def test_a_saved_pipeline_says_the_same_elsewhere(tmp_path, step, pictures, expected):
    PolicyProcessorPipeline([step], name="policy_preprocessor").save_pretrained(tmp_path)
    loaded = PolicyProcessorPipeline.from_pretrained(tmp_path, config_filename="policy_preprocessor.json")
    depth, color = (torch.from_numpy(picture) for picture in pictures)
    observation = {DEPTH_KEY: depth, COLOR_KEY: color}
    torch.testing.assert_close(loaded.steps[0].observation(observation)[POINT_CLOUD], expected, rtol=0, atol=0)


def test_a_new_calibration_can_be_given_when_loading(tmp_path, step, world):
    """What LeRobot calls an override, for a camera that was moved."""
    PolicyProcessorPipeline([step], name="policy_preprocessor").save_pretrained(tmp_path)
    moved = world.calibration(color_key=COLOR_KEY)
    moved["extrinsics"][2][3] += 0.5
    loaded = PolicyProcessorPipeline.from_pretrained(
        tmp_path,
        config_filename="policy_preprocessor.json",
        overrides={"depth_to_point_cloud": {"cameras": [moved]}},
    )
    change = loaded.steps[0].config.cameras[0].pose - step.config.cameras[0].pose
    assert change[2, 3] == pytest.approx(0.5)
    assert loaded.steps[0].num_points == POINTS
