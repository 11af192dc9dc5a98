"""Cores and threads: affinity, quotas of both versions of control groups, what is left to others."""

import logging
import os
import re

import pytest
import torch
from control_group_files import control_groups

from lerobot_sdm.policies import thread_notice
from lerobot_sdm.processes.threads import advice, available_cores, default_threads, passive_waiting


@pytest.fixture
def many_cores(monkeypatch):
    """A process that may run on twelve cores."""
    monkeypatch.setattr(os, "process_cpu_count", lambda: 12, raising=False)


def test_without_quota_the_affinity_counts(many_cores, tmp_path):
    assert available_cores(tmp_path) == 12
    root = control_groups(tmp_path, "0::/user.slice", {"sys/fs/cgroup/user.slice/cpu.max": "max 100000"})
    assert available_cores(root) == 12


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_of_this_process(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores(tmp_path) == len(before)


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000", 2), ("150000", 1), ("50000", 1), ("199000", 2), ("800000", 8), ("9900000", 12)]
)
def test_quota_of_version_2(many_cores, tmp_path, quota, cores):
    files = {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/a.slice/cpu.max": f"{quota} 100000"}
    assert available_cores(control_groups(tmp_path, "0::/a.slice/b.scope", files)) == cores


def test_quota_of_version_1(many_cores, tmp_path):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/docker/abc/cpu.cfs_quota_us": "100000",
        "sys/fs/cgroup/memory/docker/abc/cpu.cfs_period_us": "100000",
    }
    listing = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc"
    assert available_cores(control_groups(tmp_path, listing, files)) == 3


def test_default_threads_leave_a_core():
    assert [default_threads(cores) for cores in (1, 2, 3, 4, 5, 16)] == [1, 1, 2, 3, 4, 4]


def test_the_users_wait_policy_stands(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert passive_waiting() == {"OMP_WAIT_POLICY": "passive"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert passive_waiting() == {"OMP_WAIT_POLICY": "active"}


@pytest.mark.parametrize(
    ("threads", "cores", "load", "machine", "free"),
    [
        (2, 2, 0.4, 2, None),  # An idle machine.
        (2, 2, 1.2, 2, None),  # This process itself.
        (2, 2, 2.1, 2, 1),  # One other program.
        (1, 2, 9.0, 2, None),  # Fewer are impossible.
        (8, 4, 1.0, 8, 4),  # More than the quota has.
        (4, 4, 33.0, 64, 2),  # Half of the machine is busy, so half of these are taken to be.
    ],
)
def test_advice(threads, cores, load, machine, free):
    text = advice(threads, cores, load, machine)
    assert (text is None) == (free is None)
    if free is not None:
        assert f"OMP_NUM_THREADS={free} OMP_WAIT_POLICY=passive" in text


def test_a_training_says_it_once(monkeypatch, caplog):
    monkeypatch.setattr(os, "getloadavg", lambda: (torch.get_num_threads() + os.cpu_count() + 5.0, 0.0, 0.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    thread_notice.warn_of_too_many_threads.cache_clear()
    with caplog.at_level(logging.WARNING):
        for device in ("cuda", "cpu", "cpu"):
            thread_notice.warn_of_too_many_threads(device)
    thread_notice.warn_of_too_many_threads.cache_clear()
    (record,) = caplog.records
    assert re.search(r"3 threads, but only about 1 of \d+ cores", record.message)
