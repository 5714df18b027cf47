"""Task files by family, and the Python of each family. Installed as g2vlm_bench.tasks."""
