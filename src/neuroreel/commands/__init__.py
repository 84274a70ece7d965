"""The commands of ``neuroreel``: each reads files, calls one function of the package, and writes files."""
