"""Damaged CIF files, and what pymatgen, ASE and the loader make of them.

Readers are called in other processes, so that this module must be quick to import.
"""

import re
import warnings
from collections import defaultdict
from typing import NamedTuple

# Characters that have a meaning in CIF, and others that look like digits or blanks.
CHARACTERS = (
    "#;'\"_?.,-+()[]{}$ \t\n\r0159aexyzOH\0\x0c\x1a\x85\xa0\xe9\u2013\u2003\u0663\uff11"
    "\ufeff"
)
NUMBERS = (
    *("?", ".", "''", "nan", "inf", "1e400", "0x10", "1_0", "0,5", "1/3", "0.5("),
    *("1.01", "0.3333", "0.16667", "0.33", "-0.5", "0", "1e-3", "5(2)3"),
    *("\u0660.5", "\uff10.5", "\u22120.25"),
)
SYMBOLS = (
    *("OH", "OH2", "NO3", "Wat", "Ow1", "NH4", "CH3", "Xx1", "M1", "X", "?", ".", "''"),
    *("D", "T", "FE", "fe", "Cval", "Va", "0.5Fe + 0.5Ni", "O2-", "Zz"),
)
OPERATIONS = (
    *("x,y,z", "-x,-y,-z", "x,y", "x,y,x", "'x, y, z+1/0'", "x,y,2z", "x+1/3,y,z", "?"),
    *("'x+1/2, y+1/2, z'", "x,y,q", "x,y,z,+1", "1/2+x+1/4,y,z", "x y z", "x;y;z"),
)
HEADER = "data_global\n_journal_year 1999\n_publ_author_name 'O'Neill, A.'\n"
TEXT = "_publ_section_comment\n;\ndata_fake\nloop_\n_atom_site_label\nXe1\n;\n"


class Crystal(NamedTuple):
    """What readers of CIF files can be compared by."""

    counts: dict[str, float]
    n_sites: int
    volume: float

    def agrees(self, other):
        return (
            self.n_sites == other.n_sites
            and self.counts.keys() == other.counts.keys()
            and all(abs(n - other.counts[e]) < 1e-3 for e, n in self.counts.items())
            and abs(self.volume - other.volume) <= 1e-3 * abs(other.volume)
        )


def crystal_of(structure):
    counts = {}
    for site in structure:
        for species, amount in site.species.items():
            symbol = {"D": "H", "T": "H"}.get(species.symbol, species.symbol)
            counts[symbol] = counts.get(symbol, 0) + amount
    return Crystal(counts, len(structure), structure.volume)


def read_with_others(file):
    """Return what pymatgen and ASE read, each as a crystal or None."""
    return _or_none(_read_with_pymatgen, file), _or_none(_read_with_ase, file)


def _or_none(read, file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read(file)
        except Exception:  # noqa: BLE001 (parsers raise anything)
            return None


def _read_with_pymatgen(file):
    from pymatgen.io.cif import CifParser

    return crystal_of(CifParser(file).parse_structures(primitive=False)[0])


def _read_with_ase(file):
    import ase.io

    atoms = ase.io.read(file, index=0, format="cif")
    if atoms.cell.rank < 3:  # it found no cell
        return None
    occupancies = atoms.info.get("occupancy")
    kinds = atoms.arrays.get("spacegroup_kinds")
    counts = defaultdict(float)
    for index, symbol in enumerate(atoms.get_chemical_symbols()):
        shares = {symbol: 1.0}
        if occupancies is not None and kinds is not None:
            shares = occupancies.get(str(kinds[index]), shares)
        for element, share in shares.items():
            counts["H" if element == "D" else element] += float(share)
    counts = {element: n for element, n in counts.items() if n}
    return Crystal(counts, len(atoms), float(atoms.cell.volume))


def verdict(reading, undamaged, pymatgen, ase):
    """Say how a reading compares with what others read from the damaged file.

    Parameters
    ----------
    reading : tuple of (Crystal or None, bool)
        What the loader read, and whether it said that something was unusual.
    undamaged, pymatgen, ase : Crystal or None
        The crystal before the damage, and what the others read.

    Returns
    -------
    tuple of 2 str
        Whether the others agree, and what the loader did.
    """
    crystal, has_notes = reading
    if pymatgen is not None and ase is not None:
        others = "agree" if pymatgen.agrees(ase) else "disagree"
    else:
        others = "fail, one or both"
    if crystal is None:
        return others, "refused"
    if has_notes:
        return others, "read with a note"
    if crystal.agrees(undamaged):
        return others, "read as before the damage"
    read = [other for other in (pymatgen, ase) if other is not None]
    if read and all(map(crystal.agrees, read)):
        return others, "read as they do, or as the one that reads it"
    return others, "silently wrong"


def mutate(text, others, rng):
    """Damage a CIF file in one to three ways, and return its bytes."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutation = MUTATIONS[rng.randint(len(MUTATIONS))]
        text = mutation(text, rng)
    if rng.rand() < 0.08:
        other = others[rng.randint(len(others))]
        text = [text + "\n" + other, other + "\n" + text, HEADER + text][rng.randint(3)]
    encodings = ["utf-8"] * 20 + ["utf-8-sig", "utf-8-sig", "utf-16", "utf-16-le"]
    return text.encode(encodings[rng.randint(len(encodings))], errors="replace")


def _pick(rng, items):
    return items[rng.randint(len(items))]


def _change_line(text, rng, pattern, change):
    """Apply a change to one of the lines that match a pattern."""
    lines = text.split("\n")
    chosen = [i for i, line in enumerate(lines) if re.search(pattern, line)]
    if chosen:
        index = _pick(rng, chosen)
        lines[index] = change(lines[index])
    return "\n".join(lines)


def _change_token(text, rng, pattern, token_pattern, values):
    """Replace one word of a line that matches a pattern."""

    def change(line):
        tokens = list(re.finditer(token_pattern, line))
        if not tokens:
            return line
        match = _pick(rng, tokens)
        return line[: match.start()] + _pick(rng, values) + line[match.end() :]

    return _change_line(text, rng, pattern, change)


SITE_LINE = r"^\s*[A-Z][A-Za-z]?\S*\s.*\d\.\d"
CELL_LINE = r"^_cell_(length|angle)"
OPERATION_LINE = r"[xX]\S*,\s*\S*[yY]"


def change_character(text, rng):
    i = rng.randint(len(text) + 1)
    return text[:i] + _pick(rng, CHARACTERS) + text[i + 1 :]


def insert_character(text, rng):
    i = rng.randint(len(text) + 1)
    return text[:i] + _pick(rng, CHARACTERS) + text[i:]


def delete_character(text, rng):
    i = rng.randint(len(text) + 1)
    return text[:i] + text[i + 1 :]


def truncate(text, rng):
    return text[: rng.randint(len(text) + 1)]


def delete_lines(text, rng):
    lines = text.split("\n")
    i = rng.randint(len(lines))
    return "\n".join(lines[:i] + lines[i + rng.randint(1, 4) :])


def repeat_line(text, rng):
    lines = text.split("\n")
    i = rng.randint(len(lines))
    return "\n".join([*lines[: i + 1], *lines[i:]])


def swap_lines(text, rng):
    lines = text.split("\n")
    i, j = rng.randint(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def insert_line(text, rng):
    lines = text.split("\n")
    new = ["# data_fake", "loop_", ";", "data_", "stray", "_cell_volume 7"]
    lines.insert(rng.randint(len(lines) + 1), _pick(rng, [*new, TEXT, HEADER]))
    return "\n".join(lines)


def insert_comment(text, rng):
    return _change_line(text, rng, r"\S", lambda line: line + " # O9 O 0.1 0.2 0.3 1")


def comment_out(text, rng):
    return _change_line(text, rng, r"\S", lambda line: "#" + line)


def change_site_number(text, rng):
    return _change_token(text, rng, SITE_LINE, r"(?<=\s)-?\d*\.?\d+(\(\d+\))?", NUMBERS)


def change_cell_number(text, rng):
    return _change_token(text, rng, CELL_LINE, r"(?<=\s)\d+\.?\d*(\(\d+\))?", NUMBERS)


def change_symbol(text, rng):
    return _change_token(text, rng, SITE_LINE, r"^\s*\S+|(?<=\s)[A-Z]\S*", SYMBOLS)


def delete_word(text, rng):
    return _change_token(text, rng, r"\S\s+\S", r"\S+", [""])


def delete_site(text, rng):
    return _change_line(text, rng, SITE_LINE, lambda line: "")


def change_operation(text, rng):
    return _change_token(text, rng, OPERATION_LINE, r"\S.*", OPERATIONS)


def change_operation_character(text, rng):
    return _change_token(
        text,
        rng,
        OPERATION_LINE,
        r"[-+xyz/0-9,]",
        ["-", "+", "x", "y", "z", "1", "3", ""],
    )


def delete_operation(text, rng):
    return _change_line(text, rng, OPERATION_LINE, lambda line: "")


def delete_all_operations(text, rng):
    text = re.sub(r"(?m)^.*[xX]\S*,\s*\S*[yY].*\n", "", text)
    return re.sub(
        r"(?m)^loop_\s*\n(?:\s*_(?:symmetry_equiv|space_group_symop)\S*\n)+", "", text
    )


def change_space_group(text, rng):
    names = ["?", "'P 1'", "P m -3 m", "'F m 3 m'", "'R -3 m'", "225", "1", "'P 21/c'"]
    return _change_token(
        text, rng, r"(H-M|Int_Tables|IT_number)", r"(?<=\s)\S.*", names
    )


def change_case(text, rng):
    case = _pick(
        rng, [str.upper, str.title, lambda name: name.replace("_site_", "_site.")]
    )
    pattern = _pick(rng, [r"(?m)^\s*_\w+", r"data_", r"loop_", r"_atom_site_\w+"])
    return re.sub(pattern, lambda match: case(match[0]), text)


def change_line_ends(text, rng):
    return text.replace("\n", _pick(rng, ["\r\n", "\r", "\n\n", " \n", "\x0c\n"]))


def join_lines(text, rng):
    positions = [match.start() for match in re.finditer("\n", text)]
    i = _pick(rng, positions) if positions else 0
    return text[:i] + " " + text[i + 1 :]


def break_line(text, rng):
    positions = [match.start() for match in re.finditer(" ", text)]
    i = _pick(rng, positions) if positions else 0
    return text[:i] + "\n" + text[i + 1 :]


def move_column_name(text, rng):
    lines = text.split("\n")
    names = [
        i for i, line in enumerate(lines) if re.match(r"\s*_atom_site_\w+\s*$", line)
    ]
    if len(names) > 1:
        i, j = rng.choice(names, 2, replace=False)
        lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


MUTATIONS = [
    *(change_character, insert_character, delete_character, truncate, delete_lines),
    *(repeat_line, swap_lines, insert_line, insert_comment, comment_out),
    *(change_site_number, change_site_number, change_cell_number, change_symbol),
    *(change_symbol, delete_word, delete_site, change_operation, change_operation),
    *(change_operation_character, delete_operation, delete_all_operations),
    *(change_space_group, change_case, change_line_ends, join_lines, break_line),
    move_column_name,
]
