"""Split the text of a CIF file into items with gemmi, which is fast and strict.

Whatever gemmi refuses, or might understand in another way than `parse_blocks`, is left
to that function.
"""

from functools import cache
from types import ModuleType
from typing import Any

from sklearn_cgcnn.datasets._cif._syntax import DATA_LINE, Block, Item

# `parse_blocks` refuses them, and gemmi takes some of them for values.
_STAR_WORDS = ("save_", "stop_", "global_")


def parse_with_gemmi(text: str) -> list[Block] | None:
    """Split the text of a CIF file that has one data block and no faults.

    Parameters
    ----------
    text : str
        The text, with lines that end in a line feed.

    Returns
    -------
    list of Block or None
        What `parse_blocks` returns. None if gemmi is not installed, or if the file is
        not as plain as that.
    """
    gemmi = _gemmi()
    if gemmi is None or not text.isascii():
        return None
    lower = text.lower()
    if any(word in lower for word in _STAR_WORDS):
        return None
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError):
        return None
    # gemmi takes a blank for the name of a block without one.
    if len(document) != 1 or document[0].name == " ":
        return None
    block = Block(document[0].name)
    for each in document[0]:
        item = _item(each)
        if item is None:
            return None
        block.items.append(item)
    return [Block(""), block]


@cache
def _gemmi() -> ModuleType | None:
    try:
        import gemmi
    except ImportError:
        return None
    return gemmi


def _item(item: Any) -> Item | None:
    """Return an item of gemmi as one of this package, or None if unsure."""
    pair = item.pair
    if pair is not None:
        names, raw, is_loop = [pair[0]], [pair[1]], False
    elif item.loop is not None:
        loop = item.loop
        names, raw, is_loop = loop.tags, loop.values, True
    else:  # a save frame
        return None
    values = []
    for value in raw:
        if not value or (value[0] == ";" and DATA_LINE.search(value)):
            return None
        if value[0] in "'\";":
            value = _unquoted(value)
        values.append(value)
    return Item(names, is_loop, item.line_number, values)


def _unquoted(value: str) -> str:
    if value[0] != ";":
        return value[1:-1]
    # Otherwise it is a word that does not begin its line.
    return value[1:-2] if value.endswith("\n;") else value
