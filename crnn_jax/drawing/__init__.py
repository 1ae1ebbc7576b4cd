"""Pictures as pure functions of (seed, index). Nothing in here imports jax: it runs in data workers."""
