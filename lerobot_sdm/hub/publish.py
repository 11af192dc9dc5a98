"""Uploads a policy or a dataset to the Hub, and verifies the upload."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from huggingface_hub import DatasetCard, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError
from lerobot.datasets.dataset_metadata import CODEBASE_VERSION

from lerobot_sdm.cards.model_card import Teacher
from lerobot_sdm.cards.privacy import TEXT_FILES
from lerobot_sdm.datasets.damage import INFO
from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.files import new_folder, sha256
from lerobot_sdm.hub.staging import Order, check_repo_id, refuse_private, stage_policy
from lerobot_sdm.policies.source.files import WEIGHTS_FILE

DATA_FILES = ["data/**", "videos/**", "meta/episodes/**"]
"""Where a dataset's episodes lie, in as many files as they need."""


def publish_policy(order: Order, private: bool | None = None) -> str:
    """Upload a policy (for a student, without its teacher) with its card, and return the URL of the commit.

    Args:
        order: What to publish.
        private: Whether a new repo is private; None for the account's default.

    Raises:
        InputError: It cannot be published, or the upload failed.
    """
    check_repo_id(order.repo_id)
    with TemporaryDirectory(prefix="publish-") as folder:
        staging = Path(folder)
        stage_policy(order, staging)
        return _upload(staging, order.repo_id, "model", private)


def preview_policy(order: Order, folder: Path) -> None:
    """Write the files that `publish_policy` would upload to a new folder, for inspection."""
    check_repo_id(order.repo_id)
    refuse_existing("--dry-run", folder)
    with new_folder(folder) as staging:
        stage_policy(order, staging)


def publish_dataset(folder: Path, repo_id: str, license: str | None = None, private: bool | None = None) -> str:
    """Upload a LeRobot dataset with its own card, and set the version tag by which LeRobot finds it.

    LeRobot's own upload would replace the card of the recording or conversion with a generic one.

    Args:
        folder: The dataset.
        repo_id: Target repo.
        license: Identifier of a license for the card; None to keep the card's own.
        private: As for `publish_policy`.

    Raises:
        InputError: It is not a dataset, has no card, or contains private data.
    """
    check_repo_id(repo_id)
    for name in (INFO, "README.md"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: has no {name}. Publish a dataset of `lerobot-sdm record` or `convert`, which have cards."
            )
    with TemporaryDirectory(prefix="publish-") as staging:
        # Text files are copied, rewritten, and searched; data files, which may be large, stay in place.
        texts = Path(staging)
        shutil.copytree(folder, texts, dirs_exist_ok=True, ignore=_only_texts)
        card = texts / "README.md"
        card.write_text(_published_card(card.read_text(), repo_id, license))
        refuse_private(texts)
        return _upload(folder, repo_id, "dataset", private, card)


def find_teacher(given: str, sha256: str | None) -> Teacher:
    """Find a student's published teacher, at a commit, and check its weights.

    Args:
        given: `name/repo` or `name/repo@revision`.
        sha256: Hash of the weights that the student was distilled from, if it states them.

    Raises:
        InputError: The repo does not exist or contains other weights, or the student's teacher is unknown.
    """
    repo_id, _, revision = given.partition("@")
    check_repo_id(repo_id, "--teacher")
    if sha256 is None:
        raise InputError(
            f"--teacher={given}: this student does not state the weights that it was distilled from, as every imported "
            "one, so its teacher cannot be verified. Drop the option."
        )
    with _hub(f"--teacher={given}") as api:
        info = api.model_info(repo_id, revision=revision or None, files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or ()}
    weights = files.get(WEIGHTS_FILE)
    found = weights.lfs.sha256 if weights is not None and weights.lfs else None
    if found is None or found != sha256:
        raise InputError(
            f"--teacher={given}: its {WEIGHTS_FILE} (SHA-256 {(found or 'missing')[:12]}) is not what this student was "
            f"distilled from ({sha256[:12]}). Give the repo and revision of its teacher."
        )
    return Teacher(repo_id, info.sha, found)


def _upload(folder: Path, repo_id: str, repo_type: str, private: bool | None, card: Path | None = None) -> str:
    """Upload a folder in one commit and verify it; `card`, in a commit of its own, replaces its README.md."""
    with _hub(f"--repo-id={repo_id}") as api:
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        if card is not None:
            api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo_id, repo_type=repo_type)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type=repo_type,
            folder_path=folder,
            commit_message=f"Upload {repo_id.split('/')[-1]}",
            ignore_patterns=["README.md"] if card is not None else None,
            # LeRobot reads every data file that it finds, so none of an earlier upload may stay.
            delete_patterns=DATA_FILES if repo_type == "dataset" else None,
        )
        _check_arrival(api, folder, repo_id, repo_type, commit.oid)
        if repo_type == "dataset":
            _move_tag(api, repo_id, commit.oid)
    return commit.commit_url


def _move_tag(api: HfApi, repo_id: str, revision: str) -> None:
    """Point the version tag by which LeRobot finds a dataset at a commit, as LeRobot's own upload does."""
    with contextlib.suppress(RevisionNotFoundError):
        api.delete_tag(repo_id, tag=CODEBASE_VERSION, repo_type="dataset")
    api.create_tag(repo_id, tag=CODEBASE_VERSION, revision=revision, repo_type="dataset")


def _check_arrival(api: HfApi, folder: Path, repo_id: str, repo_type: str, revision: str) -> None:
    """Compare sizes, and hashes of large files, with those on the Hub."""
    info = api.repo_info(repo_id, repo_type=repo_type, revision=revision, files_metadata=True)
    there = {file.rfilename: file for file in info.siblings or ()}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        # The card is in a commit of its own, and `upload_folder` leaves out the two folders.
        if name == "README.md" or {".git", ".cache"} & set(name.split("/")):
            continue
        remote = there.get(name)
        same = remote is not None and remote.size == path.stat().st_size
        if same and remote.lfs is not None:
            same = sha256(path) == remote.lfs.sha256
        if not same:
            raise InputError(f"--repo-id={repo_id}: {name} was not uploaded completely. Publish again.")


@contextlib.contextmanager
def _hub(option: str) -> Iterator[HfApi]:
    """Requests to the Hub; turns their errors into input errors."""
    try:
        yield HfApi()
    except OfflineModeIsEnabled as error:
        raise InputError(f"{option}: HF_HUB_OFFLINE is set. Unset it to reach {constants.ENDPOINT}.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        hint = {401: " Log in: `hf auth login`.", 403: " This account may not write there.", 404: " Is the name right?"}
        raise InputError(f"{option}: {constants.ENDPOINT} answers {status}.{hint.get(status, '')}") from error
    except (OSError, httpx.TransportError) as error:
        raise InputError(f"{option}: {constants.ENDPOINT} cannot be reached ({type(error).__name__}).") from error


def _published_card(text: str, repo_id: str, license: str | None) -> str:
    """A dataset's card with its public name instead of its local one, and with a license."""
    # Only where a card names its repo: a local name such as `hammer` may also be a word of its text.
    text = re.sub(r"(visualize_dataset\?path=|--dataset\.repo_id=)[\w./-]+", rf"\g<1>{repo_id}", text)
    if license is None:
        return text
    # LeRobot's template contains the license twice.
    card = DatasetCard(text.replace("**License:** [More Information Needed]", f"**License:** {license}"))
    card.data.license = license
    return str(card)


def _only_texts(folder: str, names: list[str]) -> list[str]:
    """Names for `copytree` to ignore: everything except text files and folders."""
    return [name for name in names if not name.endswith(TEXT_FILES) and not (Path(folder) / name).is_dir()]
