"""How long the rest of a run will take, from what its stages have taken so far."""

from collections.abc import Mapping, Sequence

from lerobot_sdm.measure.stages import Stage, startable


def seconds_left(
    stages: Sequence[Stage], finished: Mapping[str, float], running: Mapping[str, float], cores: int
) -> float | None:
    """Seconds until the last stage will have finished.

    A stage takes as long for its size as those of its kind have taken so far, or a typical one as all typical stages,
    where none of its kind has finished; the rest of the plan is then gone through as it will be run.

    Args:
        stages: The plan.
        finished: Seconds that each finished stage took.
        running: Seconds for which each running one has run.
        cores: How many cores stages use together.

    Returns:
        None where nothing is left, or nothing can be said of a stage that is left.
    """
    durations = {stage.name: _duration(stage, stages, finished) for stage in stages if stage.name not in finished}
    if not durations or None in durations.values():
        return None
    now, over = 0.0, set(finished)
    # One that is late already can end at any moment.
    active = {name: max(0.0, durations[name] - since) for name, since in running.items()}
    while active or len(over) < len(stages):
        while stage := startable(stages, over, active, cores):
            active[stage.name] = now + durations[stage.name]
        name = min(active, key=active.__getitem__)
        now = active.pop(name)
        over.add(name)
    return now


def _duration(stage: Stage, stages: Sequence[Stage], finished: Mapping[str, float]) -> float | None:
    """Seconds that a stage will take; None where none has finished that it could be held against."""
    done = [other for other in stages if other.size and finished.get(other.name)]
    alike = [other for other in done if other.kind == stage.kind]
    if not alike and stage.typical:
        alike = [other for other in done if other.typical]
    if not alike or not stage.size:
        return None
    return stage.size * sum(finished[other.name] for other in alike) / sum(other.size for other in alike)


def rough_time(seconds: float) -> str:
    """A duration no more precise than an estimate is: less than a minute, about 4 min, about 1 h 30 min."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    if minutes > 20:
        minutes = 5 * round(minutes / 5)
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest)
    return f"about {' '.join(parts)}"
