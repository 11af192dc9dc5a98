"""Export a policy as one graph for computers without torch, with a certificate of how exact it is.

`runtime.py` is the only module here that the robot's computer needs.
"""
