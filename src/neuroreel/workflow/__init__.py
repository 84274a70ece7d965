"""The whole paper as one Snakemake workflow: a configuration names what to do, each step is a command of ours."""
