"""The whole road from demonstrations to a table, as stages that can be interrupted."""
