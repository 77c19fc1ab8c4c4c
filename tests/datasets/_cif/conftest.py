import pytest

from sklearn_cgcnn.datasets._cif import read_cif

# Rock salt, in the way of the Crystallography Open Database.
ROCK_SALT = """\
# A comment before the first block
data_1000041
_publ_author_name 'O'Neill, A.'
_publ_section_title
;
A title
;
_chemical_formula_sum 'Cl Na'
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_cell_formula_units_Z 4
_cell_length_a 5.62(1)
_cell_length_b 5.62(1)
_cell_length_c 5.62(1)
_cell_volume 177.5
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_symmetry_equiv_pos_as_xyz
OPERATIONS
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na1+ 0. 0. 0. 1.
Cl1 Cl1- 0.5 0.5 0.5 1.
"""
CENTERINGS = ["x,y,z", "x+1/2,y+1/2,z", "x+1/2,y,z+1/2", "x,y+1/2,z+1/2"]


@pytest.fixture
def rock_salt():
    """The text of a CIF file that can be read without notes."""
    return ROCK_SALT.replace("OPERATIONS", "\n".join(CENTERINGS))


@pytest.fixture
def read(tmp_path):
    """Read the text, or the bytes, of a CIF file."""

    def read_text(content):
        file = tmp_path / "crystal.cif"
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)
        return read_cif(file)

    return read_text


@pytest.fixture
def read_without_notes(read):
    """Read a CIF file, and check that nothing was unusual."""

    def read_text(content):
        structure, reason, notes = read(content)
        assert (reason, notes) == ("", [])
        return structure

    return read_text


@pytest.fixture
def reason(read):
    """Return why a CIF file cannot be read."""

    def reason_of(content):
        structure, text, notes = read(content)
        assert structure is None
        assert notes == []
        assert text
        return text

    return reason_of
