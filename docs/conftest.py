"""Runs the code blocks of the pages, each page from top to bottom."""

import os
import shutil
import tempfile
from pathlib import Path

from sybil import Sybil
from sybil.parsers.rest import PythonCodeBlockParser, SkipParser


def enter_empty_folder(namespace):
    """Let the blocks of a page write into a folder of its own."""
    namespace["_folders"] = Path.cwd(), tempfile.mkdtemp()
    os.chdir(namespace["_folders"][1])


def leave_folder(namespace):
    """Go back, and remove what a page has written."""
    before, temporary = namespace["_folders"]
    os.chdir(before)
    shutil.rmtree(temporary)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.rst"],
    excludes=["_build/*", "auto_examples/*", "generated/*"],
    setup=enter_empty_folder,
    teardown=leave_folder,
).pytest()
