"""Estimate a run's remaining time from the stages so far."""

from collections.abc import Mapping, Sequence

from lerobot_sdm.measure.stages import Stage, startable


def seconds_left(
    stages: Sequence[Stage], finished: Mapping[str, float], running: Mapping[str, float], cores: int
) -> float | None:
    """Estimated seconds until the last stage finishes.

    A stage's time per size is that of finished stages of its kind or, for a typical stage of a kind of which none has
    finished, that of all typical stages; the rest of the plan is then simulated as it will run.

    Args:
        stages: The plan.
        finished: Seconds that each finished stage took.
        running: Seconds for which each running stage has run.
        cores: How many cores stages use together.

    Returns:
        None if nothing is left, or if a remaining stage cannot be estimated.
    """
    durations = {stage.name: _duration(stage, stages, finished) for stage in stages if stage.name not in finished}
    if not durations or None in durations.values():
        return None
    now, over = 0.0, set(finished)
    # A stage that is already overdue can end at any moment.
    active = {name: max(0.0, durations[name] - since) for name, since in running.items()}
    while active or len(over) < len(stages):
        while stage := startable(stages, over, active, cores):
            active[stage.name] = now + durations[stage.name]
        name = min(active, key=active.__getitem__)
        now = active.pop(name)
        over.add(name)
    return now


def _duration(stage: Stage, stages: Sequence[Stage], finished: Mapping[str, float]) -> float | None:
    """Estimated seconds of a stage; None if no comparable one has finished."""
    done = [other for other in stages if other.size and finished.get(other.name)]
    alike = [other for other in done if other.kind == stage.kind]
    if not alike and stage.typical:
        alike = [other for other in done if other.typical]
    if not alike or not stage.size:
        return None
    return stage.size * sum(finished[other.name] for other in alike) / sum(other.size for other in alike)


def rough_time(seconds: float) -> str:
    """A duration at the precision of an estimate: less than a minute, about 4 min, about 1 h 30 min."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    if minutes > 20:
        minutes = 5 * round(minutes / 5)
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest)
    return f"about {' '.join(parts)}"
