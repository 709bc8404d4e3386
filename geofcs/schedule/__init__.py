"""Running blocks as Dask tasks, on this machine or a cluster: the outermost skin, around plain functions."""

from geofcs.schedule.local import local_team
from geofcs.schedule.rounds import Outcome, Team, run_blocks

__all__ = ["Outcome", "Team", "local_team", "run_blocks"]
