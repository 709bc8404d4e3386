"""Benchmarks: the scan, the model and its training, each against what the machine itself can do in the same run."""
