"""Policies that others are made from: found, checked and loaded in one way, whatever is made from them.

A type of policy becomes a source by an `Adapter` and one line in `adapters.ADAPTERS`.
"""
