"""Download the recordings and the authors' files from the archives where they are published."""
