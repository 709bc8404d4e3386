"""Labelled pairs from folders of images and from scenes: which there are, how they are split, what they hold."""

from geofcs.training.data.sample import Pairs, Sample

__all__ = ["Pairs", "Sample"]
