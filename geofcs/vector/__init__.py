"""Change polygons: one per region of one code, from rasters of any size, as if the whole raster were seen at once."""
