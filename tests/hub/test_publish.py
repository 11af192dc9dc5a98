"""Publishing to a Hub: only what inference needs, a card that says everything and tells nothing, and it loads again."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkpoints.original_files import make_original
from hub.hub_server import TOKEN, Hub
from hub.hub_session import load_policy
from lerobot.datasets.dataset_metadata import CODEBASE_VERSION
from lerobot.datasets.utils import create_lerobot_dataset_card
from lerobot_commands import SMALL_DP3, lerobot_train, make_small_dataset

from lerobot_sdm.checkpoints.import_policy import import_checkpoint

TESTS = Path(__file__).parents[1]
RESULTS = TESTS.parent / "results" / "drawer-open" / "results.json"
COMMON = ["--policy.device=cpu", "--batch_size=4", "--num_workers=0", "--env_eval_freq=0", "--steps=2", "--save_freq=2"]


def run(hub: Hub, folder: Path, steps: list[dict]) -> list[dict]:
    """Run steps of `hub_session` against the server."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf_home"),
        "HF_LEROBOT_HOME": str(folder / "lerobot_home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    result = subprocess.run(
        [sys.executable, "-m", "hub.hub_session"],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        cwd=TESTS,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


class World:
    """A server, and what was published on it in one session."""

    def __init__(self, hub: Hub, folder: Path, teacher: Path):
        self.hub, self.folder, self.teacher = hub, folder, teacher
        self.outcomes: dict[str, dict] = {}

    def card(self, repo_id: str, kind: str = "models") -> tuple[dict, str]:
        """(metadata, text) of a repo's card."""
        text = self.hub.files(repo_id, kind)["README.md"].decode()
        header, _, body = text.removeprefix("---\n").partition("\n---\n")
        return yaml.safe_load(header), body


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A teacher and a dataset are published, a student is trained and uploaded by LeRobot, then published again with
    its results; everything is loaded back. One process, to spare the tests its start."""
    folder = tmp_path_factory.mktemp("someone-secret")
    data = make_small_dataset(folder / "data")
    info = json.loads((data / "meta/info.json").read_text())
    create_lerobot_dataset_card(repo_id="local/small", dataset_description=f"{info['total_frames']} frames.").save(
        data / "README.md"
    )
    with pytest.MonkeyPatch.context() as patch, Hub() as hub:
        teacher = lerobot_train(patch, data, folder / "teacher", "--policy.type=dp3", *SMALL_DP3, steps=2, save_freq=2)
        world = World(hub, folder, teacher)
        student = folder / "student" / "checkpoints" / "last" / "pretrained_model"
        imported = folder / "imported"
        import_checkpoint(make_original().save(folder / "x.ckpt"), imported)
        measured = json.loads(RESULTS.read_text())
        measured["settings"]["student"]["steps"] = 2
        student_row = next(row for row in measured["rows"] if row["key"] == "student")
        student_row["successes"] = [True] * 50
        student_row["success_rate"] = {"estimate": 1.0, "low": 0.92865, "high": 1.0}
        results = folder / "results.json"
        results.write_text(json.dumps(measured))
        eval_info = folder / "eval_info.json"
        eval_info.write_text(
            json.dumps({"per_task": [{"task_group": "reach", "metrics": {"successes": [True] * 9 + [False]}}]})
        )
        dataset_options = ["--dataset.repo_id=local/small", f"--dataset.root={data}"]
        distil = [
            "--policy.type=sdm",
            f"--policy.teacher_path={teacher}",
            "--policy.repo_id=me/uploaded-by-training",
            "--policy.push_to_hub=true",
            "--policy.warmup_steps=1",
            f"--output_dir={folder / 'student'}",
            *dataset_options,
            *COMMON,
        ]
        older = shutil.copytree(data, folder / "older")
        shutil.copy2(older / "data/chunk-000/file-000.parquet", older / "data/chunk-000/file-001.parquet")
        publish = ["publish", str(student), "--repo-id"]
        with_results = ["me/student", "--teacher", "me/teacher", "--results", str(results), "--license", "mit"]
        steps = {
            "teacher": {
                "do": "command",
                "args": [
                    *("publish", str(teacher), "--repo-id", "me/teacher"),
                    *("--results", str(eval_info), "--suite", "metaworld_pc"),
                ],
            },
            "train": {"do": "train", "args": distil},
            "student": {"do": "command", "args": [*publish, *with_results]},
            "again": {"do": "command", "args": [*publish, *with_results]},
            "imported": {"do": "command", "args": ["publish", str(imported), "--repo-id", "me/imported"]},
            "pushed": {"do": "push", "folder": str(imported), "repo_id": "me/pushed"},
            "older dataset": {"do": "command", "args": ["publish", str(older), "--repo-id", "me/data"]},
            "dataset": {"do": "command", "args": ["publish", str(data), "--repo-id", "me/data", "--license", "mit"]},
            "wrong teacher": {"do": "command", "args": [*publish, "me/x", "--teacher", "me/imported"]},
            "no teacher": {"do": "command", "args": [*publish, "me/x", "--teacher", "me/nothing"]},
            "other results": {"do": "command", "args": [*publish, "me/x", "--results", str(RESULTS)]},
            "no login": {"do": "command", "args": [*publish, "me/x"], "token": "wrong"},
            **{f"load {name}": {"do": "load_policy", "repo_id": f"me/{name}"} for name in ("teacher", "student")},
            "load training": {"do": "load_policy", "repo_id": "me/uploaded-by-training"},
            "load imported": {"do": "load_policy", "repo_id": "me/imported"},
            "load dataset": {"do": "load_dataset", "repo_id": "me/data"},
        }
        world.outcomes = dict(zip(steps, run(hub, folder, list(steps.values())), strict=True))
        world.student, world.data, world.imported = student, data, imported
        yield world


UPLOADED = ("me/teacher", "me/student", "me/imported", "me/pushed", "me/uploaded-by-training")


def test_every_command_succeeded(world):
    for name in ("teacher", "train", "student", "again", "imported", "older dataset", "dataset"):
        assert world.outcomes[name]["code"] == 0, world.outcomes[name]
    assert f"Published {world.hub.endpoint}/me/student/commit/" in world.outcomes["student"]["output"]


@pytest.mark.parametrize("repo_id", UPLOADED)
def test_only_what_inference_needs_is_uploaded(world, repo_id):
    names = set(world.hub.files(repo_id))
    needed = {"config.json", "model.safetensors", "README.md"}
    assert needed <= names
    extra = {name for name in names - needed if not re.match(r"policy_(pre|post)processor", name)}
    assert extra <= {"train_config.json", "import.json", ".gitattributes"}


def test_the_student_is_uploaded_alone(world):
    """Neither fake score nor raw weights nor teacher: the uploaded weights are the checkpoint's inference weights."""
    state = world.student / "training_state.safetensors"
    assert state.exists()
    weights = (world.student / "model.safetensors").read_bytes()
    for repo_id in ("me/student", "me/uploaded-by-training"):
        assert world.hub.files(repo_id)["model.safetensors"] == weights


@pytest.mark.parametrize("repo_id", [*UPLOADED, "me/data"])
def test_nothing_of_this_machine_is_in_any_text(world, repo_id):
    files = world.hub.files(repo_id, "datasets" if repo_id == "me/data" else "models")
    for name, content in files.items():
        if name.endswith((".json", ".md", ".jsonl", ".yaml")):
            for text in ("someone-secret", str(world.folder), f"{Path.home()}/", str(Path.cwd()), TOKEN):
                assert text not in content.decode(), (name, text)
    assert "local/small" not in files["README.md"].decode()


def test_private_settings_are_really_there_before(world):
    """What the test above looks for is in the checkpoint, so it could have leaked."""
    for name in ("config.json", "train_config.json"):
        assert "someone-secret" in (world.student / name).read_text()


def test_uploaded_policies_act_as_the_local_ones(world):
    for name, folder in (("teacher", world.teacher), ("student", world.student), ("training", world.student)):
        assert world.outcomes[f"load {name}"] == load_policy(str(folder)), name
    # Their clouds have more points, but any number will do.
    assert world.outcomes["load imported"]["type"] == "dp3"


def test_the_uploaded_dataset_loads(world):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    local = LeRobotDataset("local/small", root=world.data, video_backend="pyav")
    loaded = world.outcomes["load dataset"]
    assert loaded["frames"] == len(local)
    assert loaded["cloud"] == local[3]["observation.point_cloud"].tolist()
    metadata, text = world.card("me/data", "datasets")
    assert "path=me/data" in text
    assert (metadata["license"], "**License:** mit" in text) == ("mit", True)


def test_a_dataset_published_again_replaces_the_older_one(world):
    """LeRobot would read every data file there is, at the commit that the version tag names."""
    repo = world.hub.repos["datasets", "me/data"]
    tagged = repo.commits[repo.tags[CODEBASE_VERSION]]
    assert tagged == world.hub.files("me/data", "datasets")
    assert any("data/chunk-000/file-001.parquet" in files for files in repo.commits.values())
    assert {name for name in tagged if name.startswith("data/")} == {"data/chunk-000/file-000.parquet"}


def test_card_of_a_student(world):
    metadata, text = world.card("me/student")
    teacher_sha = hashlib.sha256((world.teacher / "model.safetensors").read_bytes()).hexdigest()
    revision = world.hub.repos["models", "me/teacher"].refs["main"]
    for said in (
        "Score and Distribution Matching",
        "Network evaluations (NFE) per action chunk:** 1",
        f"me/teacher@{revision}",
        teacher_sha,
        "`metaworld_pc` | drawer-open | 50/50 | 93 to 100%",
        "per seed from 100000 to 100049",
        "| teacher, 10 steps |",  # a row of the quickstart's table
        "lerobot-eval --policy.path=me/student",
        "--env.type=metaworld_pc --env.task=drawer-open",
        "## Intended use",
        "## License\n\n`mit`",
    ):
        assert said in text, said
    assert metadata["license"] == "mit"
    assert metadata["base_model"] == "me/teacher"
    assert {"lerobot", "sdm", "point-cloud", "metaworld_pc"} <= set(metadata["tags"])
    (result,) = metadata["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 1.0
    assert "0.929 to 1.000" in result["metrics"][0]["name"]
    config = json.loads(world.hub.files("me/student")["config.json"])
    assert (config["teacher_path"], config["teacher_revision"]) == ("me/teacher", revision)


def test_card_of_a_teacher_with_results_of_lerobot_eval(world):
    metadata, text = world.card("me/teacher")
    # Wilson's interval for 9 of 10.
    assert "`metaworld_pc` | reach | 9/10 | 60 to 98%" in text
    assert "Network evaluations (NFE) per action chunk:** 10" in text
    assert metadata["license"] == "apache-2.0"
    assert "--policy.type=sdm --policy.teacher_path=me/teacher" in text
    assert "Data: not published" in text


def test_card_written_at_the_end_of_a_training(world):
    metadata, text = world.card("me/uploaded-by-training")
    assert "Not evaluated yet" in text
    assert "2 episodes, 55 frames at 80 Hz" in text
    assert "Steps 2, batch_size 4, seed 1000" in text
    assert "Not published; SHA-256 of its weights" in text
    assert "base_model" not in metadata
    config = json.loads(world.hub.files("me/uploaded-by-training")["config.json"])
    assert config["teacher_path"] is None
    assert len(config["teacher_sha256"]) == 64


def test_card_of_an_imported_policy(world):
    _, text = world.card("me/imported")
    source = hashlib.sha256((world.folder / "x.ckpt").read_bytes()).hexdigest()
    assert f"original DP3 checkpoint for `assembly` (epoch 56, global_step 1234), SHA-256 `{source}`" in text
    assert "NFE" in world.card("me/pushed")[1]


def test_publishing_again_changes_nothing(world):
    commits = world.hub.repos["models", "me/student"].commits
    *_, before, after = commits.values()
    assert before == after


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong teacher", "--teacher=me/imported: its model.safetensors"),
        ("other results", "steps, but this one was trained for 2. Give the results of this run."),
        ("no teacher", "answers 404. Is the name right?"),
        ("no login", "answers 401. Log in: `hf auth login`."),
    ],
)
def test_what_cannot_be_published_is_said_in_one_sentence(world, name, message):
    assert world.outcomes[name]["code"] == 2
    assert message in world.outcomes[name]["output"].replace("\n", " ")
    assert ("models", "me/x") not in world.hub.repos
