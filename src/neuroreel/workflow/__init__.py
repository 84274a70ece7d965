"""The whole paper as one Snakemake workflow: a configuration says what to do, and each step is a neuroreel command."""
