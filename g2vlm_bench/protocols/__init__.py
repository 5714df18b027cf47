"""How a prediction is brought to the truth: the protocols of each family and their steps."""
