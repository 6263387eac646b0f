"""Placeholder docstring: the owner of this folder rewrites it."""
