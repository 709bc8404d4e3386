"""`python -m geofcs`: the command line, where its script is not on the path."""

from geofcs.cli import main

main()
