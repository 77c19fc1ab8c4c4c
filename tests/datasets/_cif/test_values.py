import pytest

from sklearn_cgcnn.datasets._cif._syntax import CIFError
from sklearn_cgcnn.datasets._cif._values import read_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.43", "5.43"),
        ("5.43(2)", "5.43"),
        ("5.43(2", "5.43"),
        ("-.5", "-.5"),
        ("+1.", "+1."),
        ("1e-3", "1e-3"),
        ("1E+3(1)", "1E+3"),
        ("0", "0"),
    ],
)
def test_numbers(text, expected):
    assert read_number(text, "it") == expected


@pytest.mark.parametrize(
    "text",
    [
        *("?", ".", "", "x", "nan", "inf", "1e400", "0x10", "1_0", "0,5", "1/3"),
        *("5(2)3", "- 1", "1.2.3", "0.5\xa0", "1\u00b2"),
        *("\u0660.5", "\uff10.5", "\u22120.5"),
    ],
)
def test_what_is_not_a_number(text):
    with pytest.raises(CIFError, match=r"it is .*, but must be a number"):
        read_number(text, "it")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("_cell_length_a 5.62(1)", "_cell_length_a 5_62", "_cell_length_a is '5_62'"),
        ("_cell_length_b 5.62(1)", "_cell_length_b -5.62", "-5.62, which is not poss"),
        ("_cell_length_b 5.62(1)", "_cell_length_b 0", "0, which is not possible"),
        ("_cell_angle_beta 90", "_cell_angle_beta 180", "180, which is not possible"),
        ("_cell_angle_beta 90", "_cell_angle_beta ?", "_cell_angle_beta is '?'"),
        (
            "_beta 90\n_cell_angle_gamma 90",
            "_beta 20\n_cell_angle_gamma 30",
            "no cell has",
        ),
        ("_cell_length_c 5.62(1)", "", "does not list _cell_length_c"),
    ],
)
def test_cells_that_cannot_be_read(reason, rock_salt, old, new, expected):
    assert expected in reason(rock_salt.replace(old, new))


def test_a_cell_that_contradicts_the_crystal_system(reason, rock_salt):
    text = rock_salt.replace("_cell_angle_beta 90", "_symmetry_cell_setting cubic")
    text = text.replace("_cell_length_b 5.62(1)", "_cell_length_b 6")
    assert "made a cell with _cell_length_b 5.62 instead of 6" in reason(text)


def test_the_crystal_system_completes_the_cell_with_a_note(read, rock_salt):
    lines = [line for line in rock_salt.split("\n") if "_cell_angle" not in line]
    lines.insert(2, "_symmetry_cell_setting cubic")
    structure, _, notes = read("\n".join(lines))
    assert structure.lattice.angles == pytest.approx((90, 90, 90))
    assert "derived from the crystal system" in notes[0]
