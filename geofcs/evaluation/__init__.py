"""How good a model is on labelled pairs and scenes: numbers, tables, pictures."""
