"""The models: torch only, no geography. Images of two dates in, scores of change and land cover out."""
