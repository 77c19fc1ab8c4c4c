"""Runs the code blocks of the pages, each page from top to bottom.

So that this takes minutes and not an hour, blocks that set no number of epochs train
for five, where the default trains for at least a hundred, and threads do the work of
the processes of ``n_jobs``, which take seconds to start.
"""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from joblib import parallel_config
from sybil import Sybil
from sybil.parsers.rest import PythonCodeBlockParser, SkipParser

from sklearn_cgcnn._training import EpochRule


def begin_page(namespace):
    """Let the blocks of a page train briefly, and write into a folder of its own."""
    undo = namespace["_undo"] = ExitStack()
    few_epochs = patch.object(EpochRule, "n_epochs", lambda rule, n_crystals, size: 5)
    undo.enter_context(few_epochs)
    undo.enter_context(parallel_config(backend="threading"))
    folder = tempfile.mkdtemp()
    undo.callback(shutil.rmtree, folder)
    undo.callback(os.chdir, Path.cwd())
    os.chdir(folder)


def end_page(namespace):
    """Go back, and remove what a page has written."""
    namespace["_undo"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.rst"],
    # The page about clusters is for several machines; tests/test_distributed.py runs
    # what it describes.
    excludes=[
        "_build/*",
        "auto_examples/*",
        "generated/*",
        "how_to/distributed.rst",
    ],
    setup=begin_page,
    teardown=end_page,
).pytest()
