"""Flax networks and their parts."""
