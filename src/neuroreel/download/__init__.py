"""Getting the recordings, and the files of the paper's authors, from the archives where they are published."""
