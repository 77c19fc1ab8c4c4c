"""Split the text of a CIF file into data blocks, and these into items and loops.

Faults of syntax are stored with the item that contains them. Whether they matter
depends on what the item is needed for.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from reprlib import Repr
from typing import NamedTuple

# White space is blanks, tabs and line ends: other control characters and non-ASCII
# spaces belong to values. A quote closes only before white space, as in 'O'Neill'.
_TOKEN = re.compile(
    r"""
      \#[^\n]*                                      # comment
    | ^;(?P<text>[\s\S]*?)\n;                       # text field
    | '(?P<single>[^\n]*?)'(?=[ \t\n]|\Z)
    | "(?P<double>[^\n]*?)"(?=[ \t\n]|\Z)
    | (?P<word>[^ \t\n]+)
    """,
    re.VERBOSE | re.MULTILINE,
)
DATA_LINE = re.compile(r"\n[ \t]*(?:data_\S|loop_\s|_atom_site_|_cell_)", re.IGNORECASE)
_shortener = Repr()
_shortener.maxstring = 60


class CIFError(ValueError):
    """A CIF file cannot be read, or what was read contradicts it."""


@dataclass
class Item:
    """One data name with its value, or a loop of several names with their values.

    Attributes
    ----------
    names : list of str
        Data names, as the file spells them.
    is_loop : bool
        Whether the item is a loop.
    line : int
        Number of the line in which the item begins.
    values : list of str
        All values, in the order of the file.
    faults : list of str
        What is wrong with the syntax.
    """

    names: list[str]
    is_loop: bool
    line: int
    values: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def column(self, position: int) -> list[str]:
        """Return the values of one name.

        Parameters
        ----------
        position : int
            Position of the name.

        Returns
        -------
        list of str
        """
        return self.values[position :: len(self.names)]

    def close(self) -> None:
        """Check the number of values, once all of them have been read."""
        n_names, n_values = len(self.names), len(self.values)
        if n_values == n_names or (self.is_loop and n_names and not n_values % n_names):
            return
        title = ", ".join(self.names[:3]) + ", ..." * (n_names > 3) or "no data name"
        kind = "the loop of " if self.is_loop else ""
        last = f", the last of which is {shorten(self.values[-1])}" if n_values else ""
        self.faults.append(
            f"{kind}{title} in line {self.line} has {n_values} values for {n_names} "
            f"data names{last}"
        )


@dataclass
class Block:
    """A data block. Once it has been asked for values, its items must not change.

    Attributes
    ----------
    name : str
        What follows ``data_``.
    items : list of Item
        Items and loops, in the order of the file.
    remarks : list of str
        What is unusual, but allowed.
    """

    name: str
    items: list[Item] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return all data names, in the form of `normalized`."""
        return self._names

    def repeated_names(self) -> set[str]:
        """Return the data names that are listed again with other values."""
        repeated = {name for name, n in Counter(self._names).items() if n > 1}
        values: dict[str, list[str]] = {}
        return {
            normalized(name)
            for item in self.items
            for position, name in enumerate(item.names)
            if normalized(name) in repeated
            and values.setdefault(normalized(name), item.column(position))
            != item.column(position)
        }

    def column(self, name: str) -> list[str] | None:
        """Return the values of a data name, or None if it is absent.

        Parameters
        ----------
        name : str
            A name in the form of `normalized`.

        Returns
        -------
        list of str or None
            The values of the first item with this name that has no faults.
        """
        found = self._places.get(name)
        return None if found is None else found[0].column(found[1])

    def value(self, name: str) -> str | None:
        """Return the first value of a data name, or None if there is none.

        Parameters
        ----------
        name : str
            A name in the form of `normalized`.

        Returns
        -------
        str or None
            The value. The placeholders ``?`` and ``.`` count as none.
        """
        values = [v for v in self.column(name) or [] if not is_placeholder(v)]
        return values[0] if values else None

    @cached_property
    def _names(self) -> list[str]:
        return [normalized(name) for item in self.items for name in item.names]

    @cached_property
    def _places(self) -> dict[str, tuple[Item, int]]:
        """The first item without faults that has each name, and its position there."""
        places: dict[str, tuple[Item, int]] = {}
        for item in self.items:
            if not item.faults:
                for position, name in enumerate(item.names):
                    places.setdefault(normalized(name), (item, position))
        return places


class _Token(NamedTuple):
    value: str
    is_word: bool  # neither quoted nor a text field
    line: int
    begins_line: bool


@lru_cache(1024)  # files have few names
def normalized(name: str) -> str:
    """Return a data name in the form in which names are compared.

    Names do not depend on case. Newer dictionaries separate category and object by a
    dot, as in ``_atom_site.label``, and some old files have an underscore at the end.

    Parameters
    ----------
    name : str
        A data name.

    Returns
    -------
    str
    """
    return name.lower().replace(".", "_").rstrip("_")


def is_placeholder(value: str) -> bool:
    """Whether a value stands for one that is unknown or does not apply.

    Parameters
    ----------
    value : str
        A value of an item.

    Returns
    -------
    bool
    """
    return value in ("?", ".")


def shorten(value: str) -> str:
    """Quote a value for a message.

    Parameters
    ----------
    value : str
        A value of an item.

    Returns
    -------
    str
        At most 60 characters.
    """
    return _shortener.repr(value)


def parse_blocks(text: str) -> list[Block]:
    """Split the text of a CIF file into data blocks.

    Parameters
    ----------
    text : str
        The text, with lines that end in a line feed.

    Returns
    -------
    list of Block
        The first one has no name, and holds what precedes the first header.

    Raises
    ------
    CIFError
        If a text field does not end, or the file has words of the language STAR that
        are not allowed in CIF files of crystals.
    """
    blocks = [Block("")]
    for token in _tokens(text):
        word = token.value.lower() if token.is_word else ""
        if word.startswith("data_"):
            blocks.append(Block(token.value[5:]))
        elif word == "loop_" or word.startswith("_"):
            _begin_item(blocks[-1].items, token)
        elif word.startswith("save_") or word in ("stop_", "global_"):
            raise CIFError(
                f"line {token.line} has the word {shorten(token.value)}, which is not "
                "allowed in a CIF file of a crystal"
            )
        else:
            _add_value(blocks[-1], token)
    for block in blocks:
        for item in block.items:
            item.close()
    return blocks


def _tokens(text: str) -> Iterator[_Token]:
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        kind = match.lastgroup
        if kind is not None:  # not a comment
            begins_line = text[max(end - 1, 0) : end] in ("", "\n")
            yield _Token(match[kind], kind == "word", line, begins_line)


def _begin_item(items: list[Item], token: _Token) -> None:
    is_loop = not token.value.startswith("_")
    last = items[-1] if items else None
    if last is not None and last.is_loop and not last.values and not is_loop:
        last.names.append(token.value)
    else:
        items.append(Item([] if is_loop else [token.value], is_loop, token.line))


def _add_value(block: Block, token: _Token) -> None:
    """Add a value to the last item. Values before all names form one item."""
    if not block.items:
        block.items.append(Item([], False, token.line))
    item = block.items[-1]
    item.values.append(token.value)
    if not token.is_word:
        # The end of another text field could be missing.
        if DATA_LINE.search(token.value):
            block.remarks.append(
                f"the text field in line {token.line} contains lines that look like "
                "data, and was not read"
            )
    elif token.value[0] == ";" and token.begins_line:
        raise CIFError(f"the text field in line {token.line} does not end")
    elif token.value[0] in "'\"":
        item.faults.append(
            f"the quoted text in line {token.line} does not end there: "
            f"{shorten(token.value)}"
        )
