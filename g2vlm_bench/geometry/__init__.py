"""Cameras, alignments, neighbours and clouds: arrays in, arrays out."""
