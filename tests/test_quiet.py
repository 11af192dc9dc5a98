"""What other packages say that no user can act on; LeRobot's own function, with a torchcodec that cannot load."""

import logging
import subprocess
import sys

import pytest
from lerobot.utils.import_utils import get_safe_default_video_backend

from lerobot_sdm import quiet

TRACEBACKS = "\n".join(f"FFmpeg version {number}:\nTraceback (most recent call last):" for number in (8, 7, 6, 5, 4))


@pytest.fixture
def broken_torchcodec(tmp_path, monkeypatch):
    (tmp_path / "torchcodec.py").write_text(f"raise RuntimeError({TRACEBACKS!r})\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchcodec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(logging.getLogger(quiet.LOGGER), "filters", [])


def test_it_is_one_line_said_once(broken_torchcodec, caplog):
    assert get_safe_default_video_backend() == "pyav"
    assert caplog.text.count("Traceback") == 5  # What is to be spared; otherwise this test tests nothing.
    caplog.clear()
    quiet.register()
    quiet.register()
    assert [get_safe_default_video_backend() for _ in range(3)] == ["pyav"] * 3
    (record,) = caplog.records
    assert record.getMessage() == quiet.NOTICE
    assert "\n" not in record.getMessage()
    assert TRACEBACKS in record.complaint


def test_other_messages_of_that_logger_pass(broken_torchcodec, caplog):
    quiet.register()
    for number in range(2):
        logging.getLogger(quiet.LOGGER).warning("found %d", number)
    assert [record.getMessage() for record in caplog.records] == ["found 0", "found 1"]


def test_the_plugin_registers_it():
    from lerobot_sdm.plugin import register_all

    register_all()
    filters = logging.getLogger(quiet.LOGGER).filters
    assert sum(isinstance(known, quiet.OneLine) for known in filters) == 1


def test_graphics_open_without_a_word_about_optional_packages():
    """In a process of its own, which has not imported OpenGL yet, and logs as LeRobot's commands do."""
    program = (
        "import logging\n"
        "logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')\n"
        "from lerobot_sdm import quiet\n"
        "{}\n"
        "import OpenGL.acceleratesupport\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", program.format(call)], capture_output=True, text=True, check=True).stderr
        for call in ("pass", "quiet.register()")
    ]
    assert "OpenGL_accelerate" in said[0]  # Otherwise this tests nothing.
    assert said[1] == ""
