"""Names of the MetaWorld tasks, their difficulty groups and suites. Imports no simulator."""

from lerobot_sdm.errors import InputError, unknown_name

CONTROL_RATE = 80
"""Hertz; Meta-World simulates 12.5 ms a step."""

CAMERAS = ("topview", "corner", "corner2", "corner3", "corner4", "behindGripper", "gripperPOV")
"""The cameras of every MetaWorld scene."""

# The grouping of Seo et al. ("Masked World Models for Visual Control") that DP3 and its successors report by.
DIFFICULTIES: dict[str, tuple[str, ...]] = {
    "easy": (
        *("button-press", "button-press-topdown", "button-press-topdown-wall", "button-press-wall", "coffee-button"),
        *("dial-turn", "door-close", "door-lock", "door-open", "door-unlock", "drawer-close", "drawer-open"),
        *("faucet-close", "faucet-open", "handle-press", "handle-press-side", "handle-pull", "handle-pull-side"),
        *("lever-pull", "peg-unplug-side", "plate-slide", "plate-slide-back", "plate-slide-back-side"),
        *("plate-slide-side", "reach", "reach-wall", "window-close", "window-open"),
    ),
    "medium": (
        *("basketball", "bin-picking", "box-close", "coffee-pull", "coffee-push", "hammer", "peg-insert-side"),
        *("push-wall", "soccer", "sweep", "sweep-into"),
    ),
    "hard": ("assembly", "hand-insert", "pick-out-of-hole", "pick-place", "push", "push-back"),
    "very_hard": ("disassemble", "pick-place-wall", "shelf-place", "stick-pull", "stick-push"),
}

METAWORLD_TASKS: tuple[str, ...] = tuple(task for group in DIFFICULTIES.values() for task in group)

# Tasks of this package's own: name -> "module:Class" of a MetaWorld SawyerXYZEnv subclass.
EXTRA_TASKS: dict[str, str] = {
    "detour": "lerobot_sdm.envs.metaworld.detour:SawyerDetourEnv",
    "faucet-turn": "lerobot_sdm.envs.metaworld.faucet_turn:SawyerFaucetTurnEnv",
}

HIDDEN_GOALS = (
    *("reach", "reach-wall", "push", "push-wall", "push-back", "pick-place", "pick-place-wall", "pick-out-of-hole"),
    *("coffee-pull", "stick-pull", "hand-insert"),
)
"""Tasks whose goal is a random point in the air that no camera can see."""

# The MetaWorld part of the 37-task split that FlowPolicy, MP1 and OMP report (the other three are Adroit).
_DP3_37_LEFT_OUT = (
    *("button-press-topdown", "button-press-topdown-wall", "coffee-button", "door-lock", "drawer-open"),
    *("handle-press-side", "handle-pull-side", "basketball", "bin-picking", "box-close", "coffee-push"),
    *("push-wall", "sweep", "sweep-into", "pick-out-of-hole", "push-back"),
)

SUITES: dict[str, tuple[str, ...]] = {
    "metaworld-50": METAWORLD_TASKS,
    "dp3-37": tuple(task for task in METAWORLD_TASKS if task not in _DP3_37_LEFT_OUT),
    "smoke": ("drawer-open", "coffee-pull", "assembly", "disassemble"),
}


def all_tasks() -> tuple[str, ...]:
    """MetaWorld's 50 tasks and this package's own, by short name."""
    return METAWORLD_TASKS + tuple(EXTRA_TASKS)


def difficulty_of(task: str) -> str:
    """The difficulty group of a task, `extra` for this package's own.

    Raises:
        InputError: If the task is not known.
    """
    task = short_name(task)
    return next((group for group, tasks in DIFFICULTIES.items() if task in tasks), "extra")


def short_name(task: str) -> str:
    """The name of one task without its `-v3` suffix.

    Raises:
        InputError: If there is no such task; the nearest names are offered.
    """
    name = str(task).strip().removesuffix("-v3")
    if name not in all_tasks():
        raise unknown_name("task", str(task), all_tasks())
    return name


def task_groups(text: str) -> dict[str, list[str]]:
    """Expand the value of `--env.task`.

    Args:
        text: A task with or without `-v3`, a difficulty, a suite, or several of these, comma-separated.

    Returns:
        For each part, under its own name, the short names of its tasks, in the order given.

    Raises:
        InputError: If nothing is named, or a name is not known.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else []
    if not parts:
        raise InputError(f"task: {text!r} names no task. Give a task, a difficulty or a suite.")
    collections = {**DIFFICULTIES, "extra": tuple(EXTRA_TASKS), **SUITES}
    groups: dict[str, list[str]] = {}
    for part in parts:
        name = part.removesuffix("-v3")
        if part in collections:
            groups[part] = list(collections[part])
        elif name in all_tasks():
            groups[name] = [name]
        else:
            raise unknown_name("task", part, [*all_tasks(), *collections])
    return groups


def resolve_tasks(text: str) -> list[str]:
    """The tasks that `text` names (see `task_groups`), each once, in the order given.

    Raises:
        InputError: If nothing is named, or a name is not known.
    """
    return list(dict.fromkeys(task for tasks in task_groups(text).values() for task in tasks))
