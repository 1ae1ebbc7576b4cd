"""Of Sphinx: ``sphinx-build -W docs docs/_build`` builds these pages, with ``pip install 'crnn-jax[docs]'``."""

from crnn_jax import __version__

project = "crnn_jax"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
default_role = "code"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_custom_sections = [("Attributes", "params_style")]
