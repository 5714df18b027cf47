"""The reference G2VLM: one set of weights that reconstructs, answers, describes and retrieves."""
