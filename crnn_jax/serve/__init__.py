"""A web page and an HTTP endpoint that read pictures: ``crnn-jax serve``."""
