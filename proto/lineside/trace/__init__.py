"""Lineage: from a model to the clicks it learned from, and from a click to its models."""
