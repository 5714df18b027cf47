"""How a prediction is brought to the truth: the fields of each family's protocols and their steps."""
