"""Run cells in local processes or through submitit. Both run exactly the same cells."""

import importlib.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from lerobot_sdm.errors import InputError, check_at_least, check_known, missing_package
from lerobot_sdm.specs import yaml_value

ENGINES = ("local", "submitit")
CLUSTERS = ("slurm", "local")
GRACE_SECONDS = 5
"""Grace period for a worker without a parent to end its command."""


class Job(Protocol):
    """A submitted call."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...

    def cancel(self) -> Any: ...


Submit = Callable[..., Job]
"""`submit(function, *arguments)` -> job"""


@dataclass(frozen=True)
class Engine:
    """Where cells run.

    Args:
        name: `local` or `submitit`.
        jobs: How many cells run in parallel.
        cluster: Where submitit submits: `slurm`, or `local` for local processes.
        parameters: Submitit's parameters, such as {"timeout_min": 600, "slurm_partition": "gpu"}.
        gpus: Local GPUs to spread cells over, as CUDA_VISIBLE_DEVICES names them; each cell sees only its own. If
            empty, CUDA_VISIBLE_DEVICES is left alone.

    Raises:
        InputError: A value is invalid, or submitit is not installed.
    """

    name: str = "local"
    jobs: int = 1
    cluster: str = "slurm"
    parameters: dict[str, Any] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_known("--engine", self.name, ENGINES)
        check_known("--submitit-cluster", self.cluster, CLUSTERS)
        check_at_least("--jobs", self.jobs)
        if self.name == "submitit" and importlib.util.find_spec("submitit") is None:
            raise missing_package("--engine=submitit", "submitit", "benchmark")
        if self.name == "local" and self.parameters:
            raise InputError(
                f"--submitit-parameter={min(self.parameters)}=...: needs --engine=submitit. Add it, or drop the option."
            )
        if self.name == "submitit" and self.gpus:
            raise InputError(
                f"--gpus={','.join(self.gpus)}: needs --engine=local. On a cluster, request GPUs with "
                "--submitit-parameter=gpus_per_node=1."
            )
        if self.name == "submitit":
            self._executor(Path())  # Fails now, before anything is written; writes nothing itself.

    @contextmanager
    def started(self, root: Path) -> Iterator[Submit]:
        """Yield the submit function; calls still running when the context exits are ended.

        Submitit keeps its files in `submitit/` of the benchmark's folder.
        """
        if self.name == "submitit":
            yield self._executor(root / "submitit").submit
            return
        context = multiprocessing.get_context("spawn")
        gpus = context.SimpleQueue()
        for gpu in islice(cycle(self.gpus), self.jobs):
            gpus.put(gpu)
        with ProcessPoolExecutor(
            self.jobs, mp_context=context, initializer=_start_worker, initargs=(gpus if self.gpus else None,)
        ) as pool:
            try:
                yield pool.submit
            except BaseException:
                # Only the workers know the commands that they have started.
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    def _executor(self, folder: Path) -> Any:
        import submitit

        try:
            executor = submitit.AutoExecutor(folder, cluster=self.cluster)
        except RuntimeError as error:
            raise InputError(f"--submitit-cluster={self.cluster}: cannot be reached from here ({error}).") from error
        try:
            executor.update_parameters(**self.parameters)
        except (TypeError, NameError, AssertionError) as error:
            raise InputError(f"--submitit-parameter: submitit does not take it ({error}).") from error
        return executor


def parse_parameters(texts: list[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` with YAML values.

    Raises:
        InputError: A text does not have that form.
    """
    parameters = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(f"--submitit-parameter={text}: not of the form KEY=VALUE. Give, say, timeout_min=600.")
        parameters[key] = yaml_value(value, f"--submitit-parameter={text}")
    return parameters


def _start_worker(gpus: Any) -> None:
    """Assign a worker one of the free GPUs, for itself and its commands; make it end its command when it ends, and end
    itself when its parent ends, even if that is killed."""
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers.
    threading.Thread(target=_watch_parent, daemon=True).start()


def _leave(*_: Any) -> None:
    raise SystemExit(1)  # While this propagates, `run_stages` ends its command.


def _watch_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    # The pool catches the exception and would wait for work that never comes.
    time.sleep(GRACE_SECONDS)
    os._exit(1)
