"""Measuring policies honestly: intervals, paired comparisons, distances between action samples, latency."""
