"""`lerobot-sdm export`: export a policy as one graph for computers without torch."""

from pathlib import Path
from typing import Annotated

import typer

from lerobot_sdm.errors import InputError, check_at_least, refuse_existing
from lerobot_sdm.export.options import check_options
from lerobot_sdm.policies.policy_spec import PolicySpec


def export(
    policy: Annotated[str | None, typer.Argument(help="PATH[,FIELD=VALUE...]: a `pretrained_model` folder.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    format_: Annotated[str, typer.Option("--format", help="onnx, openvino or torch.")] = "onnx",
    precision: Annotated[str, typer.Option(help="float32 or int8.")] = "float32",
    points: Annotated[str, typer.Option(help="fixed, or dynamic for clouds of any size.")] = "fixed",
    repo_id: Annotated[str | None, typer.Option("--dataset.repo_id", help="Held-out dataset, not trained on.")] = None,
    root: Annotated[Path | None, typer.Option("--dataset.root", help="Its folder. Default: LeRobot's cache.")] = None,
    observations: Annotated[
        int, typer.Option(help="Observations on which the graph is compared with the policy.")
    ] = 32,
    calibration: Annotated[int, typer.Option(help="Further observations that calibrate int8.")] = 64,
    samples: Annotated[int, typer.Option(help="Action chunks per observation, for the policy's spread.")] = 8,
    tolerance: Annotated[
        float | None, typer.Option(help="Largest error. Default: 0.001 for float32, 0.2 for int8.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    verify: Annotated[Path | None, typer.Option(help="Verify an exported folder instead of writing one.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of --verify.")] = 1,
) -> None:
    """Export a policy as one graph, from raw observations to actions, for computers without torch.

    The graph's actions are compared with the policy's own on held-out observations, in normalized units. A folder is
    written only if the largest error is within the tolerance. For example:

    lerobot-sdm export S --format=onnx --dataset.repo_id=local/held-out --dataset.root=data/held-out --output=exported
    """
    if verify is not None:
        _verify(verify, threads)
        return
    if policy is None or output is None or repo_id is None:
        missing = "POLICY" if policy is None else "--output" if output is None else "--dataset.repo_id"
        raise InputError(f"{missing}: is missing. Give POLICY, --dataset.repo_id and --output, or --verify=FOLDER.")
    check_options(format_, precision, points, tolerance)
    check_at_least("--observations", observations)
    check_at_least("--calibration", calibration)
    check_at_least("--samples", samples, 2)  # Of one, there is no spread.
    check_at_least("--seed", seed, 0)
    refuse_existing("--output", output)
    entry = PolicySpec.parse(policy).checked()

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.export.write import Export
    from lerobot_sdm.export.write import export as write

    order = Export(
        policy=entry,
        output=output,
        format=format_,
        precision=precision,
        points=points,
        repo_id=repo_id,
        root=root,
        observations=observations,
        calibration=calibration,
        samples=samples,
        tolerance=tolerance,
        seed=seed,
    )
    told = write(order, typer.echo)["certificate"]
    typer.echo(
        f"Wrote {output}: largest error {told['largest_error']:.2g}, RMS {told['rms_error']:.2g} in normalized units; "
        f"the policy itself varies by {told['spread_of_the_policy']:.2g} with the noise."
    )


def _verify(folder: Path, threads: int) -> None:
    """Repeat a folder's certificate."""
    if not folder.is_dir():
        raise InputError(f"--verify={folder}: is not a folder. Give one that `lerobot-sdm export` wrote.")
    from lerobot_sdm.export.runtime import ExportError, Policy

    if (folder / "model.pt2").exists():
        import lerobot_sdm.export.formats  # noqa: F401  (the runtime by itself does without torch)
    try:
        errors = Policy(folder, threads).verify()
    except ExportError as error:
        raise InputError(str(error)) from error
    typer.echo(
        f"{folder}: verified. Largest error {errors['largest_error']:.2g}, RMS {errors['rms_error']:.2g} in normalized "
        "units."
    )
