"""Ours against what else there is, in turns in one run; see `experiments.benchmark.__main__`."""
