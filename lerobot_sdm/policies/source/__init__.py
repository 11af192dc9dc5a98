"""Source policies, from which other policies or reward models are trained: find, check and load them.

To make a policy type a source, write an `Adapter` and add a line to `adapters.ADAPTERS`.
"""
