"""Running blocks as Dask tasks, on this machine or a cluster: the outermost skin, around plain functions."""
