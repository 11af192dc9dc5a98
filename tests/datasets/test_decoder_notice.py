"""What LeRobot says where torchcodec finds no FFmpeg: its own function, with a torchcodec that cannot load."""

import logging
import sys

import pytest
from lerobot.utils.import_utils import get_safe_default_video_backend

from lerobot_sdm.datasets import decoder_notice

TRACEBACKS = "\n".join(f"FFmpeg version {number}:\nTraceback (most recent call last):" for number in (8, 7, 6, 5, 4))


@pytest.fixture
def broken_torchcodec(tmp_path, monkeypatch):
    (tmp_path / "torchcodec.py").write_text(f"raise RuntimeError({TRACEBACKS!r})\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchcodec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(logging.getLogger(decoder_notice.LOGGER), "filters", [])


def test_it_is_one_line_said_once(broken_torchcodec, caplog):
    assert get_safe_default_video_backend() == "pyav"
    assert caplog.text.count("Traceback") == 5  # What is to be spared; otherwise this test tests nothing.
    caplog.clear()
    decoder_notice.register()
    decoder_notice.register()
    assert [get_safe_default_video_backend() for _ in range(3)] == ["pyav"] * 3
    (record,) = caplog.records
    assert record.getMessage() == decoder_notice.NOTICE
    assert "\n" not in record.getMessage()
    assert TRACEBACKS in record.complaint


def test_other_messages_of_that_logger_pass(broken_torchcodec, caplog):
    decoder_notice.register()
    for number in range(2):
        logging.getLogger(decoder_notice.LOGGER).warning("found %d", number)
    assert [record.getMessage() for record in caplog.records] == ["found 0", "found 1"]


def test_the_plugin_registers_it():
    from lerobot_sdm.plugin import register_all

    register_all()
    filters = logging.getLogger(decoder_notice.LOGGER).filters
    assert sum(isinstance(known, decoder_notice.OneLine) for known in filters) == 1
