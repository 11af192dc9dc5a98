"""Writes model cards: a policy's interface, origin, training, results, commands, and intended use."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from lerobot_sdm.cards.privacy import hub_name
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import described_view, view_sentence
from lerobot_sdm.nets.backbone_settings import MIXER_PAPER, backbone_of, backbone_sentence
from lerobot_sdm.policy_types import policy_type
from lerobot_sdm.specs import flags

DEFAULT_LICENSE = "apache-2.0"
"""LeRobot's default for policies."""

KINDS = {"dp3": "DP3", "simple_dp3": "Simple DP3", "sdm": "SDM", "manicm": "ManiCM"}

INTENDED_USE = (
    "Research on imitation learning and distillation, in simulation and on robots like the one in its training data: "
    "the same observations in the same frame and units, the same actions, the same control rate. Success outside these "
    "conditions is unknown. It does not know about obstacles, people, or limits: on a robot, enforce force and "
    "workspace limits separately, and keep a hand on the emergency stop."
)


@dataclass(frozen=True)
class Teacher:
    """The teacher of a student: its repo on the Hub (None if it is not published), the commit there, and the hash of
    its weights."""

    repo_id: str | None
    revision: str | None
    sha256: str | None


@dataclass(frozen=True)
class Evaluation:
    """Measured success on one task.

    Args:
        suite: Environment type or task group, such as `metaworld_pc`.
        task: Name of the task, for display.
        successes: Successful episodes.
        episodes: All episodes.
        low: Lower limit of the 95% interval of the success rate.
        high: Upper limit.
        protocol: One sentence on how it was measured.
        table: Markdown table with further rows (teacher, 1-step teacher), if there is one.
        notes: Markdown list below the table.
        env: `--env.*` options of the measurement, with the task; None if the results do not contain them.
    """

    suite: str
    task: str
    successes: int
    episodes: int
    low: float
    high: float
    protocol: str
    table: str | None = None
    notes: str | None = None
    env: Mapping[str, Any] | None = None


@dataclass
class CardFacts:
    """Content of a model card; None is omitted or reported as unknown.

    Args:
        repo_id: Repo of the policy on the Hub.
        policy: Its configuration, the content of `config.json`.
        license: Identifier of the license.
        parameters: Number of parameters.
        weights_sha256: Hash of `model.safetensors`.
        train: Public training configuration.
        dataset: `repo_id`, `episodes`, `frames`, `fps`, `tasks` of the training data, if known.
        imported: Content of `import.json`, for a policy imported from an original checkpoint.
        versions: Package -> version.
    """

    repo_id: str
    policy: Mapping[str, Any]
    license: str = DEFAULT_LICENSE
    parameters: int | None = None
    weights_sha256: str | None = None
    train: Mapping[str, Any] | None = None
    dataset: Mapping[str, Any] | None = None
    imported: Mapping[str, Any] | None = None
    teacher: Teacher | None = None
    evaluations: Sequence[Evaluation] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()


def model_card(facts: CardFacts) -> ModelCard:
    """Write a model card with its metadata; `str` returns the file's content."""
    sections = (
        _introduction(facts),
        _section("Interface", _interface(facts)),
        _section("Teacher", _teacher(facts)),
        _section("Origin", _origin(facts)),
        _section("Training", _training(facts)),
        _section("Results", _results(facts)),
        _section("Commands", _commands(facts)),
        _section("Intended use", INTENDED_USE),
        _section("License", f"`{facts.license}`."),
    )
    body = "\n\n".join(section for section in sections if section)
    return ModelCard(f"---\n{_metadata(facts).to_yaml()}\n---\n\n{body}\n")


def _metadata(facts: CardFacts) -> ModelCardData:
    kind = facts.policy["type"]
    suites = [evaluation.suite for evaluation in facts.evaluations]
    dataset = _public_dataset(facts)
    teacher = facts.teacher.repo_id if facts.teacher else None
    results = [
        EvalResult(
            task_type="robotics",
            dataset_type=evaluation.suite,
            dataset_name=f"{evaluation.suite}, {evaluation.task}",
            dataset_config=evaluation.task,  # The Hub groups results by configuration.
            metric_type="success_rate",
            metric_value=round(evaluation.successes / evaluation.episodes, 4),
            metric_name=f"Success rate, {evaluation.episodes} episodes, 95% interval "
            f"{evaluation.low:.3f} to {evaluation.high:.3f}",
        )
        for evaluation in facts.evaluations
    ]
    return ModelCardData(
        license=facts.license,
        library_name="lerobot",
        pipeline_tag="robotics",
        tags=sorted({"robotics", "lerobot", "point-cloud", kind, *suites, *facts.tags}),
        model_name=facts.repo_id.split("/")[-1],
        datasets=[dataset] if dataset else None,
        base_model=teacher,
        base_model_relation="finetune" if teacher else None,
        eval_results=results or None,
    )


def _section(title: str, text: str | None) -> str | None:
    return f"## {title}\n\n{text}" if text else None


def _introduction(facts: CardFacts) -> str:
    about, policy = policy_type(facts.policy["type"]), facts.policy
    steps = about.evaluations(policy)
    network = policy.get("network") or policy  # A student's network is described by its teacher's configuration.
    denoiser = backbone_sentence(network)
    lines = [
        f"- **Policy type:** `{policy['type']}` of [LeRobot](https://github.com/huggingface/lerobot), with the plugin "
        "`lerobot_policy_sdm`.",
    ]
    if steps is not None:
        lines.append(f"- **Network evaluations (NFE) per action chunk:** {steps}.")
    if denoiser is not None:
        lines.append(f"- **Denoising network:** {denoiser}.")
    if facts.parameters is not None:
        lines.append(f"- **Parameters:** {facts.parameters:,}.")
    if facts.weights_sha256 is not None:
        lines.append(f"- **SHA-256 of `model.safetensors`:** `{facts.weights_sha256}`.")
    papers = about.papers + ((MIXER_PAPER,) if backbone_of(network) == "mixer" else ())
    if papers:
        lines.append(f"- **Papers:** {'; '.join(f'[{title}]({address})' for title, address in papers)}.")
    listed = "\n".join(lines)
    return f"# {facts.repo_id.split('/')[-1]}\n\n**{about.title}.** {about.description}\n\n{listed}"


def _interface(facts: CardFacts) -> str:
    policy = facts.policy
    rows = [
        f"| {kind} | `{name}` | {tuple(feature['shape'])} |"
        for kind, features in (("in", policy.get("input_features")), ("out", policy.get("output_features")))
        for name, feature in (features or {}).items()
    ]
    text = "\n".join(["| | feature | shape |", "| --- | --- | --- |", *rows])
    if "horizon" in policy:
        text += (
            f"\n\nSees {policy['n_obs_steps']} frames, predicts {policy['horizon']} actions, executes "
            f"{policy['n_action_steps']} of them before the next observation."
        )
    elif "chunk_size" in policy:
        text += (
            f"\n\nSees {policy['n_obs_steps']} frames, improves a chunk of {policy['chunk_size']} actions by "
            f"{policy['n_iterations']} iterations, executes {policy['n_action_steps']} of them before it looks again."
        )
    network = policy.get("network") or policy  # A student's network is described by its teacher's configuration.
    if "use_color" in network:
        text += f" Clouds may have any size; {'xyz and rgb are' if network['use_color'] else 'only xyz is'} used."
    if policy.get("cloud_view"):
        text += f" It was trained on clouds in the view {view_sentence(policy['cloud_view'])}"
    if facts.imported and facts.imported.get("imagined_robot"):
        text += " It also needs `observation.imagin_robot`, points on the robot's hand computed from its joints."
    return text


def _teacher(facts: CardFacts) -> str | None:
    teacher = facts.teacher
    if teacher is None:
        return None
    if teacher.repo_id is None:
        name = "Not published"
    else:
        at = f"@{teacher.revision}" if teacher.revision else ""
        name = f"[{teacher.repo_id}{at}](https://huggingface.co/{teacher.repo_id})"
    digest = f"; SHA-256 of its weights `{teacher.sha256}`" if teacher.sha256 else ""
    return f"{name}{digest}. This repo contains only the student's weights."


def _origin(facts: CardFacts) -> str | None:
    origin = facts.imported
    if origin is None:
        return None
    progress = ", ".join(f"{name} {origin[name]}" for name in ("epoch", "global_step") if name in origin)
    return (
        f"Imported by `lerobot-sdm import-checkpoint` from the {origin['weights']} weights of an original "
        f"{KINDS.get(origin['kind'], origin['kind'])} checkpoint for `{origin['task']}`"
        f"{f' ({progress})' if progress else ''}, SHA-256 `{origin['source_sha256']}`."
    )


def _training(facts: CardFacts) -> str | None:
    lines = []
    if facts.dataset:
        data, name = facts.dataset, _public_dataset(facts)
        size = ", ".join(f"{data[key]:,} {key}" for key in ("episodes", "frames") if data.get(key) is not None)
        rate = f" at {data['fps']:g} Hz" if data.get("fps") else ""
        shown = f"[{name}](https://huggingface.co/datasets/{name})" if name else "not published"
        lines.append(f"- Data: {shown}{f'; {size}{rate}' if size else ''}.")
        if data.get("tasks"):
            lines.append(f"- Tasks: {', '.join(map(str, data['tasks']))}.")
    if facts.train:
        settings = {key: facts.train.get(key) for key in ("steps", "batch_size", "seed")}
        listed = ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
        lines.append(f"- {listed[:1].upper()}{listed[1:]}. All settings: `train_config.json`.")
        describe = policy_type(facts.policy["type"]).training
        if describe is not None and facts.train.get("steps") is not None:
            lines.append(f"- {describe(facts.policy, facts.train['steps'])}")
    if facts.versions:
        lines.append(f"- Versions: {', '.join(f'{name} {version}' for name, version in facts.versions.items())}.")
    return "\n".join(lines) or None


def _results(facts: CardFacts) -> str:
    if not facts.evaluations:
        return (
            "Not evaluated yet. `lerobot-sdm publish` adds the results of `lerobot-eval` or `lerobot-sdm quickstart` "
            "(`--results`)."
        )
    rows = [
        f"| `{e.suite}` | {e.task} | {e.successes}/{e.episodes} | {100 * e.low:.0f} to {100 * e.high:.0f}% |"
        for e in facts.evaluations
    ]
    parts = ["\n".join(["| suite | task | success | 95% interval |", "| --- | --- | ---: | ---: |", *rows])]
    protocols = dict.fromkeys(evaluation.protocol for evaluation in facts.evaluations)
    parts.append("**Protocol.** " + " ".join(protocols))
    for evaluation in facts.evaluations:
        if evaluation.table:
            parts.append(f"**{evaluation.task}, with the teacher on the same seeds**\n\n{evaluation.table}")
        if evaluation.notes:
            parts.append(evaluation.notes)
    return "\n\n".join(part.strip() for part in parts)


def _commands(facts: CardFacts) -> str:
    kind = facts.policy["type"]
    about = policy_type(kind)
    student = about.student or kind
    if about.student is not None:
        purpose, source = "Distill it into a one-step student", f" --policy.teacher_path={facts.repo_id}"
    elif about.source_option == "base_path":
        base = facts.policy.get("base_path") or "<policy>"
        purpose, source = "Improve another policy", f" --policy.base_path={base}"
    elif about.source is not None:
        teacher = (facts.teacher and facts.teacher.repo_id) or "<teacher>"
        purpose, source = "Distill another one", f" --policy.teacher_path={teacher}"
    else:
        purpose, source = "Train another one", ""
    return (
        "```bash\n"
        "# Install the plugin lerobot_policy_sdm next to LeRobot, then:\n"
        f"lerobot-eval --policy.path={facts.repo_id} \\\n"
        f"  {_environment(facts)} --eval.n_episodes=50 --seed=100000\n"
        f"\n# {purpose}:\n"
        f"lerobot-train --policy.type={student}{source} \\\n"
        f"  --policy.repo_id=<name>/<repo> --dataset.repo_id={_public_dataset(facts) or '<name>/<dataset>'}\n```"
    )


def _environment(facts: CardFacts) -> str:
    """The `--env.*` options of the first measurement; if it does not state them, those of the policy's clouds."""
    view = facts.policy.get("cloud_view") or {}
    suite, task, env = view.get("env_type", "<environment>"), "<task>", None
    if facts.evaluations:
        suite, task, env = facts.evaluations[0].suite, facts.evaluations[0].task, facts.evaluations[0].env
    if env is None:
        env = {"task": task, **_view_options(view, suite, task)}
    given = flags({"type": suite, **env}, "env.")
    return " ".join(flag if "<" in flag else shlex.quote(flag) for flag in given)


def _view_options(view: Mapping[str, Any], suite: str, task: str) -> dict[str, Any]:
    """The options that make an environment's clouds as described: the view's name, and all that differs from the view.

    Views depend on the task. If it is unknown, only options are omitted that are the view's for every task.
    """
    name = view.get("view")
    if name is None or suite not in FAMILIES:
        return {} if name is None else {"view": name}
    family = FAMILIES[suite]
    known = [family.views(each) for each in ([task] if task in family.tasks else family.tasks)]
    bases = [described_view(name, views[name]) for views in known if name in views]
    fields = family.fields()
    options = {
        key: value
        for key, value in view.items()
        # A crop box of None follows from the frame.
        if key in fields and value is not None and any(value != base.get(key, fields[key][1]) for base in bases)
    }
    return {"view": name, **options}


def _public_dataset(facts: CardFacts) -> str | None:
    """Repo id of the training data; None if it exists only on one machine."""
    name = (facts.dataset or {}).get("repo_id")
    return None if name is None or name.startswith("local/") else hub_name(name)
