"""`lerobot-sdm publish`: upload a policy or dataset with its card to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import InputError


def publish(
    folder: Annotated[
        Path, typer.Argument(help="A policy (pretrained_model folder or imported policy) or a LeRobot dataset.")
    ],
    repo_id: Annotated[str, typer.Option(help="Owner and name on the Hub, such as me/drawer-open-sdm.")],
    results: Annotated[
        list[Path] | None,
        typer.Option(help="results.json of a quickstart or eval_info.json of lerobot-eval. Repeatable."),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Environment type of an eval_info.json.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A student's teacher on the Hub, NAME/REPO[@REVISION]; its hash is compared.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License. Default: a policy's own or apache-2.0; a dataset's own.")
    ] = None,
    private: Annotated[bool | None, typer.Option(help="Whether a new repo is private.")] = None,
    dry_run: Annotated[
        Path | None, typer.Option(help="Write what would be uploaded to this folder, and upload nothing.")
    ] = None,
) -> None:
    """Upload a policy or dataset with its card. Of a policy, upload only what inference needs.

    The card states method, teacher, number of network evaluations, suite, protocol, results with intervals, commands,
    license and intended use. Local paths are removed; if any remain, nothing is uploaded.
    """
    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.datasets.damage import INFO
    from lerobot_sdm.hub.publish import find_teacher, preview_policy, publish_dataset, publish_policy
    from lerobot_sdm.hub.results import read_results
    from lerobot_sdm.hub.staging import Order, read_policy_config, trained_steps

    if (folder / INFO).exists():
        given = {"results": results, "suite": suite, "teacher": teacher, "dry-run": dry_run}
        if unfit := [f"--{option}" for option, value in given.items() if value]:
            raise InputError(f"{', '.join(unfit)}: {folder} is a dataset, which has its own card. Drop the option.")
        typer.echo(f"Published {publish_dataset(folder, repo_id, license, private)}")
        return
    config = read_policy_config(folder)
    steps = trained_steps(folder)
    evaluations = [entry for path in results or () for entry in read_results(path, config["type"], suite, steps)]
    if teacher is not None and "teacher_path" not in config:
        raise InputError(f"--teacher={teacher}: a policy of type '{config['type']}' has no teacher. Drop the option.")
    order = Order(
        folder=folder,
        repo_id=repo_id,
        teacher=find_teacher(teacher, config.get("teacher_sha256")) if teacher else None,
        evaluations=evaluations,
        license=license,
    )
    if dry_run is not None:
        preview_policy(order, dry_run)
        typer.echo(f"{dry_run} contains what would be uploaded to {repo_id}.")
    else:
        typer.echo(f"Published {publish_policy(order, private)}")
