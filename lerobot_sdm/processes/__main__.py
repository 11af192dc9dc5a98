"""Call the function that standard input holds, see `calls`."""

from lerobot_sdm.processes.calls import perform

perform()
