"""What a warm process imports for real runs must be all that they need, and must leave nothing open or running."""

import json
import sys
from pathlib import Path

import pytest
from warm_start import run_forked

from lerobot_sdm.measure.preloaded import EVERYTHING_ELSE, RECORDING

pytest_plugins = ("warm_start",)

FACTS = """
import json, os, sys, threading
from pathlib import Path
given = json.loads(sys.argv[1])
parent = Path(f"/proc/{os.getppid()}/task")
import mujoco.egl, torch
print(json.dumps({
    "missing": [name for name in given if name not in sys.modules],
    "threads": sorted((task / "comm").read_text().strip() for task in parent.iterdir()),
    "display": mujoco.egl.EGL_DISPLAY is not None,
    # Where there is no GPU, asking for one marks forks as bad for CUDA, which then nobody misses.
    "cuda": torch.cuda.is_initialized() or (torch.cuda._is_in_bad_fork() and torch.cuda.is_available()),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_imports_leave_nothing_behind_that_a_fork_could_miss(warm, tmp_path):
    script = tmp_path / "facts.py"
    script.write_text(FACTS)
    status, printed = run_forked(warm, sys.executable, str(script), json.dumps([*RECORDING, *EVERYTHING_ELSE]))
    assert status == 0, printed
    facts = json.loads(printed.splitlines()[-1])
    assert facts["missing"] == []
    # pyarrow's memory allocator is prepared for forks. The process itself is called by the program that it runs.
    (main,) = [name for name in facts["threads"] if name != "jemalloc_bg_thd"]
    assert main.startswith(Path(sys.executable).name[:15])
    assert not facts["display"]
    assert not facts["cuda"]
