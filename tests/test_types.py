"""Types, as mypy reads them: none wrong in the packages below, and no more elsewhere than there were."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[1]
CLEAN = ("clouds", "diffusion", "nets", "policies", "safe_files")
"""Packages without a wrong type."""
MOST = 272
"""Errors in all others. Lower it when you have mended some; never raise it."""
ERROR = re.compile(r"^lerobot_sdm/(\w+).*: error: ", re.MULTILINE)


@pytest.mark.slow
def test_types():
    told = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode in (0, 1), told.stdout + told.stderr
    found = ERROR.findall(told.stdout)
    clean = [line for line in told.stdout.splitlines() if line.startswith(tuple(f"lerobot_sdm/{p}/" for p in CLEAN))]
    assert not clean, "\n".join(clean)
    assert len(found) <= MOST, f"{len(found)} errors, {MOST} before:\n{told.stdout}"
