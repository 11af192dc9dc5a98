"""LeRobot datasets as a bad disk or a stranger leaves them: trained on, or refused in a sentence."""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lerobot.configs.default import DatasetConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.datasets.factory import make_dataset
from lerobot.policies import make_policy, make_pre_post_processors
from lerobot_commands import REPO_ID, make_small_dataset

from lerobot_sdm.datasets.damage import open_checked
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.observations import held_out_observations
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config

register_all()  # As LeRobot's commands do, after they have imported what they name.

LIMITS = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "15")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
CLOUD, PICTURE = "observation.point_cloud", "observation.image"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
VALUES = (
    *(None, True, 0, 1, -1, 7, 10**12, 10**400, 0.5, 1e300, "", "abc", "{x:999999999999}"),
    *([], [1], [0], [10**9], {}, {"a": 1}),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("data") / "whole", frames=(12, 9))


@pytest.fixture
def copied(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def policy_config() -> DP3Config:
    small = {"down_dims": (8, 16), "blocks_per_level": 1, "encoder_hidden_dims": (8,), "diffusion_step_embed_dim": 16}
    return DP3Config(horizon=8, n_action_steps=4, device="cpu", **small)


def train(root: Path, episodes: list[int] | None = None) -> float:
    """The loss of a first training step, by all that `lerobot-train` calls before and in it."""
    config = TrainPipelineConfig(DatasetConfig(REPO_ID, root=str(root), episodes=episodes), policy=policy_config())
    dataset = make_dataset(config)
    batch = torch.utils.data.default_collate(dataset.__getitems__([0, len(dataset) // 2, len(dataset) - 1]))
    policy = make_policy(config.policy, ds_meta=dataset.meta)
    before, _ = make_pre_post_processors(config.policy, dataset_stats=dataset.meta.stats)
    return policy.forward(before(batch))[0].item()


def assert_trains_or_is_clear(root: Path) -> None:
    try:
        loss = train(root)
    except InputError:
        return
    assert np.isfinite(loss)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The way to every entry of nested dictionaries."""
    if not isinstance(value, dict):
        return []
    return [inner for key, entry in value.items() for inner in [(*path, key), *places(entry, (*path, key))]]


def edit_json(file: Path, place: tuple, value: Any) -> None:
    """Replace an entry, or leave it out for `...`."""
    content = json.loads(file.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    file.write_text(json.dumps(content))


def edit_column(file: Path, name: str, values: list | None) -> None:
    """Replace a column's values, or leave it out for None."""
    table = pq.read_table(file)
    place = table.column_names.index(name)
    table = table.remove_column(place) if values is None else table.set_column(place, name, pa.array(values))
    pq.write_table(table, file)


def test_a_whole_dataset_trains(whole):
    assert 0 < train(whole) < 10


@pytest.mark.parametrize(
    ("episodes", "message"),
    [([0, 99], "--dataset.episodes=99: no such episode"), ([], r"--dataset.episodes=\[\]: names no episode")],
)
def test_episodes_that_are_not_there(whole, episodes, message):
    """The dataset is whole, and the Hub has no more of it."""
    with pytest.raises(InputError, match=f"^{message}. Give numbers from 0 to 1.$"):
        train(whole, episodes)
    with pytest.raises(InputError, match=message):
        open_checked(REPO_ID, whole, episodes=episodes)
    assert np.isfinite(train(whole, [1]))


@pytest.mark.parametrize(
    ("file", "place", "value", "offender"),
    [
        (INFO, ("fps",), "fast", "info.json: fps='fast': must be a finite number above 0"),
        (INFO, ("fps",), True, "info.json: fps=True: must be a finite number"),
        (INFO, ("fps",), 0, "info.json: fps=0: must be a finite number above 0"),
        (INFO, ("fps",), ..., "info.json: 'fps' is missing"),
        (INFO, ("features", CLOUD, "shape"), [10**9, 10**9], f"info.json: the description of column '{CLOUD}'"),
        (INFO, ("features", CLOUD, "shape"), [-12, 3], f"info.json: the description of column '{CLOUD}'"),
        (INFO, ("features", CLOUD, "shape"), None, f"info.json: the description of column '{CLOUD}'"),
        (INFO, ("features", CLOUD, "dtype"), "", f"info.json: the description of column '{CLOUD}'"),
        (INFO, ("features", "../action"), {"dtype": "video", "shape": [1, 1, 3]}, r"'\.\./action' is damaged"),
        (INFO, ("features", CLOUD), ..., f"file-000.parquet: column '{CLOUD}' is not in meta/info.json"),
        (INFO, ("data_path",), "../../{chunk_index}/{file_index}.parquet", "is not a path inside the dataset"),
        (INFO, ("data_path",), "/etc/{chunk_index}", "is not a path inside the dataset"),
        (INFO, ("data_path",), "data/{chunk_index:9999999999d}", "is not a path inside the dataset"),
        (INFO, ("data_path",), "data/{chunk_index.__class__}", "is not a path inside the dataset"),
        (INFO, ("data_path",), "data/{chunk_index:{}}", "data_path='data/{chunk_index:{}}': "),
        (INFO, ("data_path",), "data/{chunk_index:{a}}", "data_path='data/{chunk_index:{a}}': "),
        (INFO, ("data_path",), "data/{chunk_index:03=}", "data_path='data/{chunk_index:03=}': Unknown format"),
        (INFO, ("video_path",), "{", "info.json: video_path='{'"),
        (INFO, ("total_frames",), 5, "info.json: total_frames=5, but meta/episodes has 21"),
        (INFO, ("total_frames",), 10**12, "info.json: total_frames=1000000000000, but meta/episodes has 21"),
        (INFO, ("total_episodes",), 5, "info.json: total_episodes=5, but meta/episodes has 2"),
        (INFO, ("total_tasks",), 0, "info.json: total_tasks=0, but meta/tasks.parquet has at least one"),
        (STATS, ("action", "min"), ..., "no 'min' of 'action', so that 'action' would not be normalized"),
        (STATS, ("action",), ..., "no 'min' of 'action'"),
        (STATS, ("action", "max"), [1.0] * 7, r"'max' of 'action' has shape \(7,\), and 'action' has \(4,\)"),
        (STATS, ("observation.state", "max"), ["a"] * 9, "stats.json: 'max' of 'observation.state' is"),
        (STATS, ("observation.state", "max"), [[1], [1, 2]], "stats.json: 'max' of 'observation.state' is"),
        (STATS, ("task_index", "q50"), None, "stats.json: 'q50' of 'task_index' is None, must be numbers"),
        (STATS, ("action",), 3, "stats.json: 'action' is 3, must be a mapping of statistics"),
        (STATS, ("observation.state", "max"), [float("inf")] * 9, "'max' of 'observation.state' is not finite"),
    ],
)
def test_descriptions_that_lie(copied, file, place, value, offender):
    edit_json(copied / file, place, value)
    with pytest.raises(InputError, match=offender):
        train(copied)


@pytest.mark.parametrize(
    ("file", "column", "values", "offender"),
    [
        (DATA, "action", None, "column 'action' has no value in 21 of its frames"),
        (DATA, "index", None, "column 'index' has no value in 21 of its frames"),
        (DATA, "action", [[0.0] * 3] * 21, f"{DATA}: column 'action' is not as meta/info.json describes it"),
        (DATA, CLOUD, [[[0.0] * 2] * 12] * 21, f"column '{CLOUD}'.* shape"),
        (DATA, "task_index", [-1] * 21, "'task_index' contains -1 to -1, but meta/tasks.parquet has 1"),
        (DATA, "episode_index", [0] * 20 + [10**9], "data: has no frames of episode 1"),
        (DATA, "episode_index", [0] * 12 + [1] * 8 + [10**9], "contains 0 to 1000000000, but meta/episodes has 2"),
        (DATA, "episode_index", [0] * 13 + [1] * 8, "episode 0 has 13 frames, but meta/episodes says 12"),
        (EPISODES, "dataset_to_index", [10**9, 10**9], "episode 1 has the frames 12 to 1000000000, but"),
        (EPISODES, "dataset_from_index", [-5, 12], f"{EPISODES}: episode 0 has the frames -5 to 12"),
        (EPISODES, "dataset_from_index", None, f"{EPISODES}: column 'dataset_from_index' is missing"),
        (EPISODES, "dataset_from_index", [0, None], f"{EPISODES}: column 'dataset_from_index' has missing values"),
        (EPISODES, "data/file_index", ["../../secret"] * 2, f"{EPISODES}: column 'data/file_index' is string"),
    ],
)
def test_tables_that_lie(copied, file, column, values, offender):
    edit_column(copied / file, column, values)
    with pytest.raises(InputError, match=offender):
        train(copied)


@pytest.mark.parametrize("file", [INFO, STATS, TASKS, DATA, EPISODES])
@pytest.mark.parametrize("keep", [0, 0.99])
def test_files_that_are_cut(copied, file, keep):
    content = (copied / file).read_bytes()
    (copied / file).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=f"dataset {copied}: {file}: (cannot be read|not valid JSON)"):
        train(copied)


@pytest.mark.parametrize(("file", "named"), [(STATS, STATS), (TASKS, TASKS), (EPISODES, "meta/episodes:")])
def test_files_that_are_gone(copied, file, named):
    (copied / file).unlink()
    with pytest.raises(InputError, match=f"dataset {copied}: {named}:? is missing"):
        train(copied)


def with_pictures(root: Path, pictures: list[dict]) -> None:
    """Append a column of pictures of 8 x 8 to a dataset."""
    description = {"dtype": "image", "shape": [8, 8, 3], "names": ["height", "width", "channels"]}
    edit_json(root / INFO, ("features", PICTURE), description)
    table = pq.read_table(root / DATA)
    pq.write_table(table.append_column(PICTURE, pa.array(pictures)).replace_schema_metadata(None), root / DATA)


def test_pictures_are_not_fetched_from_elsewhere(copied, tmp_path):
    """A path in the place of a picture would be opened by LeRobot's reader, wherever it leads."""
    secret = tmp_path / "secret.png"
    PIL.Image.new("RGB", (8, 8)).save(secret)
    with_pictures(copied, [{"bytes": None, "path": str(secret)}] * 21)
    with pytest.raises(InputError, match=f"column '{PICTURE}' contains 21 paths instead of pictures"):
        train(copied)


def test_pictures_of_another_size(copied):
    """Memory is reserved for all of them once the first is known."""
    picture = io.BytesIO()
    PIL.Image.new("RGB", (900, 900)).save(picture, "PNG")
    with_pictures(copied, [{"bytes": picture.getvalue(), "path": None}] * 21)
    with pytest.raises(InputError, match=f"column '{PICTURE}' begins with a picture of 900 x 900, but meta/info.json"):
        train(copied)


def test_held_out_observations_are_read_alike(copied):
    config = policy_config()
    dataset = make_dataset(TrainPipelineConfig(DatasetConfig(REPO_ID, root=str(copied)), policy=config))
    make_policy(config, ds_meta=dataset.meta)
    assert held_out_observations(REPO_ID, copied, config, 2)[CLOUD].shape == (2, 2, 12, 3)
    edit_json(copied / INFO, ("fps",), "fast")
    with pytest.raises(InputError, match=f"dataset {copied}: {INFO}: fps='fast'"):
        held_out_observations(REPO_ID, copied, config, 2)


def test_what_concerns_the_hub_stays_as_it_is(tmp_path):
    """A dataset that is not here is no damaged one; docs/troubleshooting.md has LeRobot's own message."""
    with pytest.raises(Exception, match=r"(?i)offline|connect|not found|hub|service") as error:
        train(tmp_path / "nowhere")
    assert not isinstance(error.value, InputError)


@LIMITS
@given(data=st.data())
def test_any_description(whole, tmp_path_factory, data):
    root = Path(shutil.copytree(whole, tmp_path_factory.mktemp("any") / "copy"))
    file = root / data.draw(st.sampled_from((INFO, INFO, STATS)))
    place = data.draw(st.sampled_from(places(json.loads(file.read_text()))))
    edit_json(file, place, data.draw(st.sampled_from((..., *VALUES))))
    assert_trains_or_is_clear(root)
    shutil.rmtree(root)


@LIMITS
@given(data=st.data())
def test_any_bytes(whole, tmp_path_factory, data):
    """Some bytes of one of the files replaced."""
    root = Path(shutil.copytree(whole, tmp_path_factory.mktemp("any") / "copy"))
    file = root / data.draw(st.sampled_from((INFO, STATS, TASKS, DATA, EPISODES)))
    content = bytearray(file.read_bytes())
    spots = st.integers(0, len(content) - 1)
    for spot, byte in data.draw(st.dictionaries(spots, st.integers(0, 255), min_size=1, max_size=4)).items():
        content[spot] = byte
    file.write_bytes(bytes(content))
    assert_trains_or_is_clear(root)
    shutil.rmtree(root)
