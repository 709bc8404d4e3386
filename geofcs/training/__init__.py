"""Training and evaluation: data, losses, metrics. Arrays need torch alone; files are opened in the data modules."""
