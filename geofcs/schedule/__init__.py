"""Running blocks by threads, other processes or a cluster: the outermost skin, around plain functions."""
