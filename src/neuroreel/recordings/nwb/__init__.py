"""NWB files as recordings: contents, choice of series, and alignment to the movie's clock."""
