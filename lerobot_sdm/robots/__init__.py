"""Robots for LeRobot's commands: the simulated one, `--robot.type=simulated`."""
