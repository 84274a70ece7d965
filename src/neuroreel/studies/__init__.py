"""Studies: whole chains of work on recordings, whose finished parts are kept."""
