"""Files that may lie elsewhere: how they are named, what they look like now, and their bytes."""

from geofcs.remote.address import Address, parse_address, stem_of
from geofcs.remote.fetch import cache_folder, fetched
from geofcs.remote.state import FileState, read_part, state_of

__all__ = ["Address", "FileState", "cache_folder", "fetched", "parse_address", "read_part", "state_of", "stem_of"]
