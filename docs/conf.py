"""Configuration of Sphinx."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

project = "sklearn_cgcnn"
author = "the sklearn_cgcnn developers"
copyright = f"2026, {author}"
release = installed_version("sklearn-cgcnn")
version = release

sys.path.insert(0, str(Path(__file__).parent))  # for _chemiscope.py

# intersphinx is left out, so that the documentation builds without a network.
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "myst_parser",
    "sphinx-mathjax-offline",  # equations are shown without a network
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "chemiscope.sphinx",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
# Prompts and output are not copied with a command.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {
        "text": project,
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}

# The class template lists the members already.
numpydoc_show_class_members = False

# In the order in which a newcomer needs them.
SUBSECTIONS = ["predict", "train", "evaluate", "understand", "studies"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [f"../examples/{name}" for name in SUBSECTIONS],
    # Run only these. The other examples need hours or downloads, and are only shown.
    "filename_pattern": r"/plot_",
    "image_scrapers": ("matplotlib", "_chemiscope.scrape"),
    "show_memory": False,
    "show_signature": False,
}

plot_html_show_formats = False
plot_working_directory = str(Path(__file__).parent)


def skip_fields_of_named_tuples(app, what, name, member, skip, options):
    # Their docstring is "Alias for field number ..."; the class documents the fields.
    return True if type(member).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("autodoc-skip-member", skip_fields_of_named_tuples)
