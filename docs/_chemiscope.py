"""Interactive pictures of chemiscope, in pages that need no network.

``chemiscope.sphinx`` reads a data set from a file beside the page, and a program that
unpacks it from the internet. Browsers refuse both for pages that are opened from disk.
Here, the data are a part of the page.
"""

import base64
import re
import tempfile
from pathlib import Path
from textwrap import indent

from chemiscope.sphinx import ChemiscopeScraper
from chemiscope.sphinx._nodes import generate_html_content


def scrape(block, block_vars, gallery_conf):
    """Return the picture that the last line of a block shows, as reStructuredText."""
    widget = block_vars["example_globals"].get("___")
    mode = ChemiscopeScraper().get_widget_mode(widget)
    if mode is None:
        return ""
    # Neither printed too, nor drawn again after the next block.
    block_vars["example_globals"]["___"] = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.json")
        widget.save(str(path))
        data = base64.b64encode(path.read_bytes()).decode()
    page = Path(block_vars["target_file"]).relative_to(gallery_conf["src_dir"])
    html = generate_html_content(
        f"data:application/json;base64,{data}",
        mode,
        warning_timeout=2000,
        static_path="../" * (len(page.parts) - 1) + "_static",
    )
    html = re.sub(r"<script src=\"https://[^>]*pako[^>]*></script>\n", "", html)
    return f".. raw:: html\n\n{indent(html, '    ')}\n"
