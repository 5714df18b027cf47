"""Configurations of the reference model, by name."""
