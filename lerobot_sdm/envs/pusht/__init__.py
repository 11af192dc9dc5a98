"""LeRobot's Push-T with a dense reward."""
