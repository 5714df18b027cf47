"""Depth, point and answer metrics: pure functions; alignment and aggregation stand elsewhere."""
