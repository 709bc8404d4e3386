"""Labelled pairs from folders of images and from scenes: which there are, how they are split, what they hold."""

from geofcs.training.data.sample import Dataset, Pairs, Sample

__all__ = ["Dataset", "Pairs", "Sample"]
