import codecs

import pytest

from sklearn_cgcnn.datasets._cif import read_cif

HEADER_BLOCK = "data_global\n_journal_year 1999\n_publ_section_title 'Rock salt'\n"


def test_rock_salt_is_read_without_notes(read_without_notes, rock_salt):
    structure = read_without_notes(rock_salt)
    assert structure.composition.formula == "Na4 Cl4"
    assert structure.lattice.abc == pytest.approx((5.62, 5.62, 5.62))


LAYOUTS = {
    "begins at byte 0": lambda text: text[text.index("data_") :],
    "blank lines first": lambda text: "\n\n  \t" + text,
    "block in a comment": lambda text: "# data_fake\n" + text,
    "comment at the end of a line": lambda text: text.replace("5 1.", "5 1. # data_x"),
    "upper-case block": lambda text: text.replace("data_1", "DATA_1"),
    "block in a text field": lambda text: text.replace("A title", "data_fake title"),
    "cell in a text field": lambda text: text.replace("A title", "\n_cell_length_a 3"),
    "block in quotes": lambda text: text.replace("'O'Neill, A.'", "'data_fake'"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "lines of old Macs": lambda text: text.replace("\n", "\r"),
    "control characters": lambda text: text.replace("\n", " \f\n") + "\x1a",
    "upper-case names": lambda text: text.replace("_cell_length", "_CELL_LENGTH"),
    "upper-case loops": lambda text: text.replace("loop_", "LOOP_"),
    "names with dots": lambda text: text.replace("_atom_site_", "_Atom_Site."),
    "a site on two lines": lambda text: text.replace("Na1 Na1+", "Na1 # O1\nNa1+"),
    "another loop": lambda text: text + "loop_\n_refln_index_h\n_refln_index_k\n1 2\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(read, rock_salt, layout):
    structure, reason, notes = read(LAYOUTS[layout](rock_salt))
    assert (structure, reason) == (read(rock_salt).structure, "")
    assert all("text field" in note for note in notes)


ENCODINGS = {
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
    "Latin-1": lambda text: text.replace("A title", "\xdcber Salz").encode("latin-1"),
    "UTF-8": lambda text: text.replace("A title", "\xdcber Salz").encode(),
    "a mark in the middle": lambda text: text.replace("data_", "\ufeffdata_").encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(read, read_without_notes, rock_salt, encoding):
    structure = read_without_notes(ENCODINGS[encoding](rock_salt))
    assert structure == read(rock_salt).structure


def test_utf_16_without_a_mark_is_refused(reason, rock_salt):
    assert "null bytes" in reason(rock_salt.encode("utf-16-le"))


def test_the_second_crystal_is_ignored_with_a_note(read, rock_salt):
    structure, _, notes = read(rock_salt + rock_salt.replace("Na1+", "K1+"))
    assert structure.composition.formula == "Na4 Cl4"
    assert "of 2 data blocks, only the first with a cell or atom sites" in notes[0]


def test_a_block_without_a_crystal_is_skipped_with_a_note(read, rock_salt):
    structure, _, notes = read(HEADER_BLOCK + rock_salt)
    assert structure.composition.formula == "Na4 Cl4"
    assert "of 2 data blocks, only the first with a cell or atom sites" in notes[0]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("data_a\n_cell_length_a 5\n", "_cell_length_b"),
        ("data_a\n_CELL_ANGLE_ALPHA 90\n", "_cell_length_a"),
        ("data_a\nloop_\n_atom_site_label\nNa1\n", "_cell_length_a"),
        ("data_a\n_atom_site_aniso_label Na1\n", "_cell_length_a"),
        ("_cell_length_a 5\n", "before the first line data_"),
    ],
)
def test_the_second_block_never_stands_in_for_the_first(
    reason, rock_salt, block, expected
):
    assert expected in reason(block + rock_salt)


def test_a_damaged_first_block_is_not_replaced_by_the_second(reason, rock_salt):
    damaged = rock_salt.replace("0.5 0.5 0.5", "0.5 ? 0.5")
    assert "_atom_site_fract_y" in reason(damaged + rock_salt)


def test_text_before_the_first_block_is_ignored_with_a_note(read, rock_salt):
    structure, _, notes = read("From the archive.\n" + rock_salt)
    assert structure.composition.formula == "Na4 Cl4"
    assert notes == ["what precedes the first data block was ignored"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (b"%PDF-1.4\0\0", "null bytes"),
        ("<html>404</html>", "has no data block"),
        (HEADER_BLOCK, "has no data block with a cell or atom sites"),
    ],
)
def test_files_without_a_crystal(reason, content, expected):
    assert expected in reason(content)


def test_a_missing_file(tmp_path):
    assert read_cif(tmp_path / "none.cif").reason.startswith("FileNotFoundError: ")


def test_faults_have_different_reasons(reason, rock_salt):
    faults = {
        "_atom_site_fract_y of site 2 ('Cl1') is '?', but must be a number": (
            rock_salt.replace("0.5 0.5 0.5", "0.5 ? 0.5")
        ),
        "Occupancy 1.01 exceeded tolerance": rock_salt.replace("0.5 1.", "0.5 1.01"),
        "lists no atom sites": rock_salt[: rock_salt.index("Na1")],
    }
    for expected, text in faults.items():
        assert expected in reason(text)


def test_a_reason_contains_the_warnings_of_pymatgen(reason, rock_salt):
    text = rock_salt.replace("0.5 0.5 0.5 1.", "0.5 0.5 0.3333 1.01")
    assert "1 fractional coordinates rounded to ideal values" in reason(text)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("_cell_length_a 5.62(1)", "_cell_length_a 5.62(1) 3", "has 2 values"),
        ("_cell_length_a 5.62(1)", "_cell_length_a", "has 0 values"),
        ("Na1 Na1+ 0. 0. 0. 1.", "Na1 Na1+ 0. 0. 0.", "has 11 values for 6"),
        ("x+1/2,y+1/2,z", "'x+1/2, y+1/2, z", "the quoted text in line"),
        (
            "_cell_volume",
            "_cell_length_a 5.7\n_cell_volume",
            "is listed with different values",
        ),
    ],
)
def test_faults_of_syntax_that_matter(reason, rock_salt, old, new, expected):
    assert expected in reason(rock_salt.replace(old, new))


def test_a_site_in_a_comment_is_not_read(read, rock_salt):
    text = rock_salt.replace("Na1 Na1+ 0.", "# Na1 Na1+ 0.")
    assert read(text).structure.composition.formula == "Cl4"


def test_items_may_be_repeated_with_the_same_value(read_without_notes, rock_salt):
    text = rock_salt.replace("_cell_volume", "_cell_length_a 5.62(1)\n_cell_volume")
    assert read_without_notes(text).composition.formula == "Na4 Cl4"


def test_other_faults_of_syntax_are_noted(read, rock_salt):
    text = rock_salt.replace("'O'Neill, A.'", "O'Neill, A.")
    structure, _, notes = read(text)
    assert structure.composition.formula == "Na4 Cl4"
    assert len(notes) == 1
    assert notes[0].startswith("_publ_author_name in line 3 has 2 values")
    assert notes[0].endswith("this was ignored")


def test_a_text_field_that_contains_data_is_noted(read, rock_salt):
    # The end of another text field is missing, so that this one begins in its place.
    text = rock_salt.replace("A title\n;", "A title\nloop_\n_atom_site_label\nXe1\n;")
    assert "text field in line 5 contains lines that look like" in read(text).notes[0]
