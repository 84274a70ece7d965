"""``python -m neuroreel``."""

from neuroreel.cli import main

main()
