"""Procedural scenes with exact truth: scene record -> renderer -> questions -> samples."""
