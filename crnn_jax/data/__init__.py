"""Examples, batches and the processes that make them. Nothing here but `pipeline` imports grain, and nothing imports jax."""
