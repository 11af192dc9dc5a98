"""Policies behind LeRobot's asynchronous inference server."""
