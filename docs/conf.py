"""How Sphinx builds the site: ``python -m sphinx -W docs docs/_build/html``."""

import sys
from pathlib import Path

import tinygrad_mb

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import graphs  # noqa: E402
import pictures  # noqa: E402

pictures.make(HERE / "_pictures")
graphs.make(HERE / "_pictures", HERE / "_pages")

project = "tinygrad_mb"
author = copyright = "The tinygrad_mb developers"
release = tinygrad_mb.__version__
html_theme = "furo"
html_extra_path = ["_pages"]  # beside the site's own pages
html_title = f"tinygrad_mb {release}"
exclude_patterns = ["_build"]
nitpicky = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
