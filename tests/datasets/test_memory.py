"""How much memory a cached dataset may take: its share of what the machine and the container have left."""

import psutil
import pytest
from control_group_files import control_groups

from lerobot_sdm.datasets import memory
from lerobot_sdm.datasets.memory import available_memory, cache_budget
from lerobot_sdm.errors import InputError

GIGABYTE = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine with 100 GB of free memory, on which one process trains."""
    free = psutil.virtual_memory()._replace(available=100 * GIGABYTE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    for variable in (memory.BUDGET_VARIABLE, memory.LOCAL_PROCESSES):
        monkeypatch.delenv(variable, raising=False)


def version_2(group: str, limit: str, usage: int, inactive: int = 0) -> dict[str, str]:
    folder = f"sys/fs/cgroup/{group}".rstrip("/")
    stat = f"anon 5\ninactive_file {inactive}\nactive_file 7"
    return {f"{folder}/memory.max": limit, f"{folder}/memory.current": str(usage), f"{folder}/memory.stat": stat}


def version_1(group: str, limit: int, usage: int, inactive: int) -> dict[str, str]:
    folder = f"sys/fs/cgroup/memory/{group}".rstrip("/")
    stat = f"cache 9\ninactive_file 1\ntotal_inactive_file {inactive}"
    limits = {f"{folder}/memory.limit_in_bytes": str(limit), f"{folder}/memory.usage_in_bytes": str(usage)}
    return {**limits, f"{folder}/memory.stat": stat}


def test_without_limit_the_machine_counts(tmp_path):
    assert available_memory(tmp_path) == 100 * GIGABYTE
    root = control_groups(tmp_path, "0::/a.slice", version_2("a.slice", "max", 3 * GIGABYTE))
    assert available_memory(root) == 100 * GIGABYTE
    assert cache_budget(root) == pytest.approx(40 * GIGABYTE)


def test_limit_of_version_2(tmp_path):
    """The limit of a group above counts, too, and files that were read once do not: the kernel drops them."""
    files = version_2("a.slice", str(8 * GIGABYTE), 3 * GIGABYTE, GIGABYTE)
    files |= version_2("a.slice/b.scope", str(20 * GIGABYTE), 2 * GIGABYTE)
    root = control_groups(tmp_path, "0::/a.slice/b.scope", files)
    assert available_memory(root) == 6 * GIGABYTE
    assert cache_budget(root) == pytest.approx(2.4 * GIGABYTE)


def test_limit_of_version_1(tmp_path):
    """In a container, the group's own folder is often the root of what is mounted."""
    files = version_1("", 10 * GIGABYTE, 4 * GIGABYTE, 2 * GIGABYTE)
    root = control_groups(tmp_path, "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc", files)
    assert available_memory(root) == 8 * GIGABYTE


def test_a_full_container_leaves_nothing(tmp_path):
    files = version_2("", str(GIGABYTE), 2 * GIGABYTE)
    assert cache_budget(control_groups(tmp_path, "0::/", files)) == 0


def test_processes_of_one_machine_share_it(monkeypatch, tmp_path):
    monkeypatch.setenv(memory.LOCAL_PROCESSES, "4")
    assert cache_budget(tmp_path) == pytest.approx(10 * GIGABYTE)


def test_a_given_budget_holds_in_each_process(monkeypatch, tmp_path):
    monkeypatch.setenv(memory.LOCAL_PROCESSES, "4")
    monkeypatch.setenv(memory.BUDGET_VARIABLE, "8")
    assert cache_budget(tmp_path) == 8 * GIGABYTE


@pytest.mark.parametrize("value", ["plenty", "-1", "nan"])
def test_budgets_that_are_no_number_are_refused(monkeypatch, value):
    monkeypatch.setenv(memory.BUDGET_VARIABLE, value)
    with pytest.raises(InputError, match=memory.BUDGET_VARIABLE):
        cache_budget()
