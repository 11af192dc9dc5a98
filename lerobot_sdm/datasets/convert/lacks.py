"""Reports columns that policies need and a dataset will not have, before anything is written."""

from collections.abc import Collection, Mapping, Sequence

from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.mapping import CLOUDS, NAMED, misfit
from lerobot_sdm.datasets.convert.source import ArrayInfo
from lerobot_sdm.errors import InputError

WORDS = {ACTION: ("action",), OBS_STATE: ("state", "qpos", "agent_pos", "proprio")}
MOST_NAMES = 12


def lacks(columns: Sequence[Column], arrays: Mapping[str, ArrayInfo]) -> list[str]:
    """A sentence for each column that most policies need and a dataset of these columns will not have.

    Raises:
        InputError: It has no action or no observation; the message says which of the store's arrays could become one.
    """
    keys = {column.key for column in columns}
    if ACTION not in keys:
        raise InputError(f"no array becomes '{ACTION}'. {_advice(ACTION, columns, arrays)}")
    if not any(key.startswith("observation.") for key in keys):
        raise InputError(f"no array becomes an observation. {_advice(OBS_STATE, columns, arrays)}")
    said = []
    if OBS_STATE not in keys:
        said.append(f"no array becomes '{OBS_STATE}', which most policies need. {_advice(OBS_STATE, columns, arrays)}")
    seen = [key for key in keys if key in (POINT_CLOUD, OBS_ENV_STATE) or "image" in key or "depth" in key]
    unfit = [sentence for key in CLOUDS if key not in keys for sentence in _unfit(key, arrays)]
    if unfit:
        said.append(f"no array becomes '{POINT_CLOUD}'. {' '.join(unfit)}")
    elif not seen:
        said.append(
            f"no array becomes '{POINT_CLOUD}', a picture or '{OBS_ENV_STATE}', and policies need one of them. "
            f"{_say_which(POINT_CLOUD, arrays)}"
        )
    return said


def _advice(key: str, columns: Sequence[Column], arrays: Mapping[str, ArrayInfo]) -> str:
    """Advice on how the store's arrays could become this column."""
    unfit = _unfit(key, arrays)
    if unfit:
        return " ".join(unfit)
    used = {name for column in columns if column.key in (ACTION, OBS_STATE) for name in column.arrays}
    parts = [
        name
        for name, info in arrays.items()
        if name not in used
        and any(word in name.lower() for word in WORDS[key])
        and misfit(key, info.shape[1:] or (1,), name) is None
    ]
    if len(parts) > 1:
        options = " ".join(f"--map {name}={key}" for name in parts)
        return f"If these arrays are its parts, join them in the order of the options: {options}."
    return _say_which(key, arrays)


def _unfit(key: str, arrays: Mapping[str, ArrayInfo]) -> list[str]:
    """Why arrays with a name of this column cannot become it."""
    named = [name for name in arrays if NAMED.get(name.rpartition("/")[2].lower()) == key]
    frames = {name: arrays[name].shape[1:] or (1,) for name in named}
    wrong = {name: misfit(key, frame, name) for name, frame in frames.items()}
    return [
        f"data/{name} has shape {frames[name]} per row, and '{key}' must be {wanted}."
        for name, wanted in wrong.items()
        if wanted
    ]


def _say_which(key: str, arrays: Collection[str]) -> str:
    names = list(arrays)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"Choose one with --map NAME={key}; the arrays are {', '.join(names[:MOST_NAMES])}{more}."
