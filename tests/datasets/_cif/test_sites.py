import pytest

GROUPS = ("OH", "OH2", "NO3", "NH4", "SO4", "CH3", "H2O")
UNKNOWN = ("Xx1", "M1", "X", "?", ".", "Zz", "Va", "Vac", "Cval", "''", "1", "\xd6")


def with_symbol(text, symbol, label="Cl1"):
    return text.replace("Cl1 Cl1-", f"{label} {symbol}")


def without_symbols(text, label):
    """Remove the column of type symbols, and set the label of the second site."""
    text = text.replace("_atom_site_type_symbol\n", "").replace(" Na1+", "")
    return text.replace("Cl1 Cl1-", label)


@pytest.mark.parametrize("symbol", [*GROUPS, *UNKNOWN])
def test_a_symbol_that_is_no_element_is_refused(reason, rock_salt, symbol):
    expected = "the element of site 2 ('Cl1') is given as"
    assert reason(with_symbol(rock_salt, symbol)).startswith(expected)


@pytest.mark.parametrize("label", ["OH", "OH1", "NO3", "Xx1", "M1", "1", "?"])
def test_a_label_that_is_no_element_is_refused(reason, rock_salt, label):
    assert "is given as" in reason(without_symbols(rock_salt, label))


@pytest.mark.parametrize(
    "symbol", ["Cl", "Cl-", "Cl1-", "Cl-1", "Cl0", "Cl1", "Cl(-I)", "Cl_a"]
)
def test_symbols_of_elements(read_without_notes, rock_salt, symbol):
    structure = read_without_notes(with_symbol(rock_salt, symbol))
    assert structure.composition.formula == "Na4 Cl4"


@pytest.mark.parametrize("label", ["Cl", "Cl2", "Cl2A", "Cl_a", "Cl(1)"])
def test_elements_from_labels(read_without_notes, rock_salt, label):
    structure = read_without_notes(without_symbols(rock_salt, label))
    assert structure.composition.formula == "Na4 Cl4"


@pytest.mark.parametrize(
    ("text", "element", "note"),
    [
        ("CL1", "Cl", "CL1 parsed as Cl"),
        ("cl", "Cl", "cl parsed as Cl"),
        ("FE3+", "Fe", "FE3+ parsed as Fe"),
        ("Ow1", "O", "Ow1 parsed as O"),
        ("Hw", "H", "Hw parsed as H"),
        ("Wat", "O", "implicit hydrogens"),
    ],
)
def test_unusual_symbols_are_noted(read, rock_salt, text, element, note):
    structure, _, notes = read(with_symbol(rock_salt, text))
    assert structure.composition[element] == 4
    assert any(note in each for each in notes)


@pytest.mark.parametrize(
    ("label", "element"), [("OW1", "O"), ("CX2", "C"), ("HN1", "H"), ("SO4", "S")]
)
def test_elements_guessed_from_labels_are_noted(read, rock_salt, label, element):
    structure, _, notes = read(without_symbols(rock_salt, label))
    assert structure.composition[element] == 4
    assert "read from the first letters of its label" in notes[0]


@pytest.mark.parametrize("symbol", ["D", "D1+", "T"])
def test_isotopes(read, rock_salt, symbol):
    structure, reason, _ = read(with_symbol(rock_salt, symbol))
    assert reason == ""
    assert structure.composition.element_composition.as_dict() == {"Na": 4, "H": 4}


def test_mixed_sites_of_the_pauling_file(read, rock_salt):
    text = with_symbol(rock_salt, "'0.75(2)Cl + 0.25Br'", "M")
    structure, _, notes = read(text)
    assert structure.composition.as_dict() == {"Na": 4, "Cl": 3, "Br": 1}
    assert any("but the formula is 'Cl Na'" in note for note in notes)


def test_mixed_sites_on_separate_lines(read, rock_salt):
    text = with_symbol(rock_salt, "Cl").replace("0.5 1.", "0.5 .8")
    text += "Br1 Br 0.5 0.5 0.5 .2\n"
    structure = read(text).structure
    assert structure.composition["Br"] == pytest.approx(0.8)


def test_shares_that_sum_to_1_only_in_decimals(read, rock_salt):
    assert 0.7 + 0.2 + 0.1 != 1
    text = with_symbol(rock_salt, "Cl").replace("0.5 1.", "0.5 .1")
    text += "Br1 Br 0.5 0.5 0.5 .2\nI1 I 0.5 0.5 0.5 .7\n"
    assert read(text).structure.composition["I"] == pytest.approx(2.8)


def test_one_site_without_a_loop(read_without_notes, rock_salt):
    text = rock_salt[: rock_salt.index("loop_\n_atom_site")].replace("'Cl Na'", "Po")
    text += "_atom_site_label Po1\n"
    text += "".join(f"_atom_site_fract_{axis} 0.25\n" for axis in "xyz")
    assert read_without_notes(text).composition.formula == "Po4"


def test_sites_without_labels(read_without_notes, rock_salt):
    text = rock_salt.replace("_atom_site_label\n", "")
    text = text.replace("Na1 ", "").replace("Cl1 ", "")
    assert read_without_notes(text).composition.formula == "Na4 Cl4"


@pytest.mark.parametrize("value", [".", "?"])
def test_occupancies_that_are_not_given_are_1(read, rock_salt, value):
    structure, _, notes = read(rock_salt.replace("0.5 1.", f"0.5 {value}"))
    assert structure.is_ordered
    assert structure.composition.formula == "Na4 Cl4"
    assert notes == (
        [] if value == "." else ["site 2 ('Cl1'): its unknown occupancy was taken as 1"]
    )


def test_an_empty_site_is_left_out_with_a_note(read, rock_salt):
    structure, _, notes = read(rock_salt.replace("0.5 1.", "0.5 0.0(1)"))
    assert structure.composition.formula == "Na4"
    assert notes[0] == "site 2 ('Cl1'): left out, as its occupancy is 0"


@pytest.mark.parametrize("value", ["-0.1", "0,5", "x", "nan", "1_0", "\u0661"])
def test_occupancies_that_cannot_be_read(reason, rock_salt, value):
    text = reason(rock_salt.replace("0.5 1.", f"0.5 {value}"))
    assert text.startswith("_atom_site_occupancy of site 2 ('Cl1') is ")


def test_a_dot_is_the_default_coordinate_with_a_note(read, rock_salt):
    structure, _, notes = read(rock_salt.replace("0. 0. 0. 1.", "0. . 0. 1."))
    assert structure == read(rock_salt).structure
    assert notes == ["site 1 ('Na1'): its coordinate '.' was read as 0"]


def test_a_position_of_dots_is_refused(reason, rock_salt):
    text = rock_salt.replace("0. 0. 0. 1.", ". . . 1.")
    assert "_atom_site_fract_x of site 1 ('Na1') is '.'" in reason(text)


def test_dummy_sites_are_left_out_with_a_note(read, rock_salt):
    text = rock_salt.replace("occupancy\n", "occupancy\n_atom_site_calc_flag\n")
    text = text.replace(" 1.\n", " 1. d\n") + "Cg1 . 0.1 0.2 0.3 1. dum\n"
    structure, _, notes = read(text)
    assert structure == read(rock_salt).structure
    assert notes == ["site 3 ('Cg1'): left out, as it is flagged as a dummy site"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "_atom_site_fract_z\n",
            "_atom_site_Cartn_z\n",
            "_atom_site_fract_z is absent",
        ),
        ("Na1 Na1+ 0. 0. 0. 1.\nCl1 Cl1- 0.5 0.5 0.5 1.\n", "", "lists no atom sites"),
        ("0.5 1.", "0.5 1.\n_atom_site_fract_y 0.5", "is listed with different values"),
    ],
)
def test_columns_that_are_missing(reason, rock_salt, old, new, expected):
    assert expected in reason(rock_salt.replace(old, new))


def test_columns_of_different_lengths(reason, rock_salt):
    text = rock_salt.replace("_atom_site_occupancy\n", "").replace(" 1.\n", "\n")
    text += "loop_\n_atom_site_occupancy\n1\n1\n1\n"
    assert "_atom_site_occupancy has 3 values for 2 atom sites" in reason(text)


def test_all_sites_empty(reason, rock_salt):
    text = rock_salt.replace(" 1.\n", " 0\n")
    assert "lists no atom sites that are occupied" in reason(text)
