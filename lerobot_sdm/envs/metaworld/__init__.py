"""MetaWorld's tasks, observed as point clouds."""
