"""Measuring policies: from demonstrations to success, distances and latency, in stages that can be interrupted."""
