"""NWB files as recordings: what they hold, what of it is wanted, and how it is brought onto the movie's clock."""
