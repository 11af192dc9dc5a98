"""Demonstration stores in zarr become LeRobot datasets, without loss.

Read in this order: `store` (opening what is not to be trusted), `layouts` (what is known about published stores),
`mapping` (which array becomes which column), `columns` (what happens to its values), `blocks` (the work of one
process), `assemble`, `verify`, and `run`, which strings them together.
"""
