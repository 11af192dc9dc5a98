"""RoboTwin's demonstrations and DP3 checkpoints, with the structure that its scripts give them."""

from pathlib import Path

import numpy as np
import zarr

LENGTHS = (6, 4, 9)
JOINTS, POINTS = 14, 70
JPEG = b"\xff\xd8 no picture \xff\xd9"


def episodes(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """What the simulator gives: joint vectors (T, 14) float64, and clouds (T, N, 6) with colors of 0 to 1."""
    rng = np.random.default_rng(seed)
    made = []
    for frames in lengths:
        cloud = rng.random((frames, POINTS, 6)).astype(np.float32)
        cloud[..., :3] += [-0.5, -0.3, 0.75]
        made.append({"vector": rng.uniform(-1.5, 1.5, (frames, JOINTS)), "pointcloud": cloud})
    return made


def write_hdf5(folder: Path, made: list[dict[str, np.ndarray]], clouds: bool = True) -> Path:
    """The generator's folder: `data/episodeN.hdf5`, one group for each key of a frame's dictionary, and other files."""
    import h5py

    (folder / "data").mkdir(parents=True)
    (folder / "seed.txt").write_text("0 1 2")
    for number, episode in enumerate(made):
        frames, vector = len(episode["vector"]), episode["vector"]
        with h5py.File(folder / f"data/episode{number}.hdf5", "w") as file:
            joints = file.create_group("joint_action")
            joints["left_arm"], joints["left_gripper"] = vector[:, :6], vector[:, 6]
            joints["right_arm"], joints["right_gripper"] = vector[:, 7:13], vector[:, 13]
            joints["vector"] = vector
            poses = file.create_group("endpose")
            for side, gripper in (("left", vector[:, 6]), ("right", vector[:, 13])):
                poses[f"{side}_endpose"] = np.full((frames, 7), 0.5)
                poses[f"{side}_gripper"] = gripper
            camera = file.create_group("observation/head_camera")
            camera["intrinsic_cv"] = np.tile(np.eye(3), (frames, 1, 1))
            camera.create_dataset("rgb", data=[JPEG] * frames, dtype=f"S{len(JPEG)}")
            # Without clouds the generator keeps an empty list for each frame.
            file["pointcloud"] = episode["pointcloud"] if clouds else np.zeros((frames, 0))
    return folder


def write_zarr(path: Path, made: list[dict[str, np.ndarray]]) -> Path:
    """What RoboTwin's preparation for DP3 makes of them: states and clouds without the last frame, actions without the
    first."""
    arrays = {
        "state": np.concatenate([episode["vector"][:-1] for episode in made]).astype(np.float32),
        "action": np.concatenate([episode["vector"][1:] for episode in made]).astype(np.float32),
        "point_cloud": np.concatenate([episode["pointcloud"][:-1] for episode in made]),
    }
    root = zarr.create_group(path, zarr_format=2)
    for name, values in arrays.items():
        root.create_array(f"data/{name}", data=values, chunks=(100, *values.shape[1:]))
    root.create_array("meta/episode_ends", data=np.cumsum([len(episode["vector"]) - 1 for episode in made]))
    return path


def make_checkpoint(made: list[dict[str, np.ndarray]]):
    """A DP3 checkpoint as RoboTwin's training on these episodes writes it, as `original_files.Original`: three frames,
    horizon 8, six actions, a name put together, and settings that only a resolver could compute."""
    from checkpoints.original_files import Sizes, make_original
    from omegaconf import OmegaConf

    original = make_original("dp3", horizon=8, sizes=Sizes(JOINTS, JOINTS, POINTS, frames=3))
    cfg = original.payload["cfg"]
    OmegaConf.set_struct(cfg, False)
    cfg.n_action_steps, cfg.task_name, cfg.setting, cfg.expert_data_num = 6, "beat_block_hammer", "demo_clean", 50
    cfg.task.name = "${task_name}-${setting}-${expert_data_num}"
    # Six numbers a point, of which the policy takes three.
    cfg.task.shape_meta.obs.point_cloud.shape = [POINTS, 6]
    cfg.task.dataset.zarr_path = "../../../data/${task.name}.zarr"
    cfg.policy.use_point_crop, cfg.policy.crop_shape = True, [80, 80]
    cfg.hydra = {"run": {"dir": "data/outputs/${now:%Y.%m.%d}/${now:%H.%M.%S}_${task_name}"}}
    cfg.raw_task_name, cfg.head_camera_type = "none", "D435"
    original.normalize_by(
        {
            "agent_pos": np.concatenate([episode["vector"][:-1] for episode in made]),
            "action": np.concatenate([episode["vector"][1:] for episode in made]),
            "point_cloud": np.concatenate([episode["pointcloud"][:-1] for episode in made]),
        }
    )
    return original
