import pytest

from lerobot_sdm.processes.scheduling import leave_real_time


@pytest.fixture(autouse=True)
def ordinary_scheduling():
    """What a test's videos do to its process must not starve the tests beside it."""
    yield
    leave_real_time()
