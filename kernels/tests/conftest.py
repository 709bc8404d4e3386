"""The tests run against the sources beside them, whether or not the distribution is installed."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
