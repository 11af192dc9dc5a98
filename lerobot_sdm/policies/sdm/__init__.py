"""Score and Distribution Matching."""

GENERATOR_TIMESTEP = 70
"""Default `generator_timestep` of T = 100, scaled to other T: signal power 0.19. Light: here it costs no import."""
