"""How often, and after how long, something that a server did not do is asked for again."""

from __future__ import annotations

import time
from collections.abc import Iterator

from geofcs.gdal import network_setting

LONGEST_PAUSE_SECONDS = 16.0


def attempts() -> Iterator[int]:
    """0, 1, 2, ...: one number per try, with pauses between that double each time."""
    pause = float(network_setting("GDAL_HTTP_RETRY_DELAY"))
    for attempt in range(most_attempts()):
        if attempt:
            time.sleep(min(pause * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS))
        yield attempt


def most_attempts() -> int:
    """How often something is asked for in all."""
    return 1 + int(network_setting("GDAL_HTTP_MAX_RETRY"))


def timeout_seconds() -> float:
    """How long one answer may take to come."""
    return float(network_setting("GDAL_HTTP_TIMEOUT"))
