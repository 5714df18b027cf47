"""Leaderboard definitions. Installed as g2vlm_bench.leaderboards."""
