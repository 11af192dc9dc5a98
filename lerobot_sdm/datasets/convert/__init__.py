"""Converts demonstration stores to LeRobot datasets without loss.

Read in this order: `source` (a store), `store` (untrusted zarr), `robotwin` (HDF5), `opening` (picks one of
the two), `layouts` (facts about published stores), `parts` and `mapping` (which arrays become which columns), `lacks`
(columns that will be missing), `columns` (conversion of values), `blocks` (the work of one process), `assemble`,
`verify`, and `run`, which calls them all. `look` is for viewing.
"""
