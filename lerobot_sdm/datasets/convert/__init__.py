"""Demonstration stores become LeRobot datasets, without loss.

Read in this order: `source` (what is asked of a store), `store` (zarr that is not to be trusted), `robotwin` (HDF5),
`opening` (which of the two it is), `layouts` (what is known about published stores), `parts` and `mapping` (what of
which array becomes which column), `lacks` (what will be missing), `columns` (what happens to the values), `blocks` (the
work of one process), `assemble`, `verify`, and `run`, which strings them together. `look` is for viewing.
"""
