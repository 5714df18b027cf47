"""Readers, one file a dataset format, and the pins that hold them still."""
