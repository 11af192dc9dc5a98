"""The four Adroit tasks, observed as point clouds."""
