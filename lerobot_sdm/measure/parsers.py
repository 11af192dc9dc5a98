"""Read the help texts of all options of LeRobot's commands, on import: once for all programs of a warm process."""

from draccus.argparsing import ArgumentParser
from lerobot.configs.eval import EvalPipelineConfig
from lerobot.configs.train import TrainPipelineConfig

for config in (TrainPipelineConfig, EvalPipelineConfig):
    ArgumentParser(config)
