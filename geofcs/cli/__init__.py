"""The command line: parse, call, report, and nothing else."""

from __future__ import annotations

from geofcs.cli.app import main

__all__ = ["main"]
