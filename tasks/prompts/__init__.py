"""Published prompts, a file a benchmark: who puts which text to a model, and where it stands."""
