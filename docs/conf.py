"""Sphinx configuration: ``sphinx-build -W -b html docs BUILD``."""

import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parent
# The package of this checkout, and the extensions beside this file.
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from sparse_gf.core import types  # noqa: E402

# Signatures would show what an alias stands for, which is Any for most.
for alias in ("Params", "Masks", "Count", "LossFn"):
    setattr(types, alias, type(alias, (), {"__module__": types.__name__}))

project = "sparse_gf"
author = "the authors of sparse_gf"
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "claims",
    "gallery",
    "mathml",
    "notebooks",
    "docstrings",
]
exclude_patterns = ["_build"]
smartquotes = False

# Formulas are MathML in the pages: nothing is fetched when they are read.
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# What notebooks printed is not to be typed.
copybutton_selector = "div:not(.output) > div.highlight > pre"

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False
napoleon_numpy_docstring = False
# Attributes as a list: fields of tuples are members already.
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False

html_theme = "furo"
html_title = "sparse_gf"
html_static_path = ["_static"]
html_css_files = ["sparse_gf.css"]
html_copy_source = False
html_show_sphinx = False
