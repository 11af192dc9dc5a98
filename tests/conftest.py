import contextlib
import gc
import os

import pytest

from lerobot_sdm.processes.scheduling import leave_real_time

# torch would first try, for many seconds, whether the C++ compiler knows each vector extension of the processor.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

LONGEST = (
    "test_exported_policies.py",
    "test_benchmark_smoke.py",
    "test_compiled_training.py",
    "test_training_runs.py",
    "test_two_points.py",
    "test_metaworld.py",
    "test_two_processes.py",
    "test_views.py",
    "test_configs.py",
    "test_types.py",
)
"""Files that take longest, in this order. They begin first, so that no core waits for one of them at the end."""


# On its first import, submitit configures logging, which closes all handlers. That of absl would close its stream, the
# captured stderr of the whole run, if another stream stood in for stderr at that moment, as in `CliRunner`.
with contextlib.suppress(ImportError):
    import submitit  # noqa: F401


gc.disable()  # Until all modules are imported: imports produce no garbage, and looking for it takes long.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # Each full collection would go through half a million objects of modules, a tenth of the run.
    gc.set_threshold(20_000, 20, 20)  # By default, what is left takes another twentieth.
    gc.enable()


@pytest.fixture(autouse=True)
def ordinary_scheduling():
    """What a test's videos do to its process must not starve the tests beside it."""
    yield
    leave_real_time()
