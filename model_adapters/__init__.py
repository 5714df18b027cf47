"""One file a model kind. Installed as g2vlm_bench.model_adapters."""
