import pytest
from pymatgen.symmetry.groups import SpaceGroup


def with_operations(text, operations):
    start, end = text.index("loop_\n_symmetry"), text.index("loop_\n_atom_site")
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(operations) + "\n"
    return text[:start] + (loop if operations else "") + text[end:]


@pytest.mark.parametrize(
    "operations",
    [
        [op.as_xyz_str() for op in SpaceGroup("Fm-3m").symmetry_ops],
        ["'x, y, z'", "'1/2+x, 1/2+y, z'", "'X+.5, Y, Z+0.5'", "+x,1/2+y,z+1/2"],
        ["x,y,z", "x+1/2,y+1/2,z", "x+1/2,y,z-1/2", "x,y-1/2,z+1/2", "-x,-y,-z"],
    ],
    ids=["all 192", "other ways to write them", "centers and inversion"],
)
def test_operations(read_without_notes, rock_salt, operations):
    operations = [f"'{op.strip(chr(39))}'" for op in operations]
    structure = read_without_notes(with_operations(rock_salt, operations))
    assert structure.composition.formula == "Na4 Cl4"


@pytest.mark.parametrize(
    "operation",
    [
        *("x,y", "x,y,z,+1", "x,y,q", "x,y,2z", "x,y,x+x", "x,y,1/2", "x;y;z", "x y z"),
        *("x,y,z+1/0", "1/2+x+1/4,y,z", "x,y,1/2z", "x,,z", "x,y,z+", "x,y,--z", "nan"),
        *("x,y,\u2212z", "x,y,z+\u0661/2", "x,y,z+1_0"),
    ],
)
def test_unclear_operations_are_refused(reason, rock_salt, operation):
    text = with_operations(rock_salt, ["x,y,z", f"'{operation}'"])
    assert "which is not of the form x,y,z" in reason(text)


def test_an_operation_that_is_no_symmetry(reason, rock_salt):
    text = with_operations(rock_salt, ["x,y,z", "x,x,z"])
    assert "neither a rotation nor a reflection" in reason(text)


@pytest.mark.parametrize(
    "operations",
    [
        ["x,y,z", "x+1/2,y+1/2,z", "x+1/2,y,z+1/2"],
        ["x,y,z", "x+1/4,y,z"],
        ["x+1/2,y,z"],
    ],
    ids=["one is missing", "the first is wrong", "no identity"],
)
def test_operations_that_lose_sites_are_refused(reason, rock_salt, operations):
    text = with_operations(rock_salt, operations)
    assert "the symmetry operations contradict each other" in reason(text)


def test_a_missing_operation_that_changes_nothing(read_without_notes, rock_salt):
    operations = [f"'{op.as_xyz_str()}'" for op in SpaceGroup("Fm-3m").symmetry_ops]
    structure = read_without_notes(with_operations(rock_salt, operations[:-1]))
    assert structure.composition.formula == "Na4 Cl4"


def test_two_lists_of_operations(read_without_notes, reason, rock_salt):
    start, end = rock_salt.index("loop_\n_symmetry"), rock_salt.index("loop_\n_atom")
    other = rock_salt[start:end].replace(
        "_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"
    )
    assert read_without_notes(rock_salt + other).composition.formula == "Na4 Cl4"
    shorter = other[: other.rindex("x,y+1/2")]
    assert "list different operations" in reason(rock_salt + shorter)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("_symmetry_space_group_name_H-M 'F m -3 m'", "Na4 Cl4"),
        ("_space_group_name_H-M_alt 'F m -3 m'", "Na4 Cl4"),
        ("_space_group_IT_number 225", "Na4 Cl4"),
        ("_symmetry_Int_Tables_number 225", "Na4 Cl4"),
        ("_symmetry_space_group_name_Hall '?'\n_space_group_IT_number 225", "Na4 Cl4"),
        ("_symmetry_space_group_name_H-M 'P 1'", "Na1 Cl1"),
        ("_symmetry_space_group_name_Hall 'P 1'", "Na1 Cl1"),
        ("_symmetry_space_group_name_H-M ?", "Na1 Cl1"),
    ],
)
def test_operations_of_a_space_group_are_noted(read, rock_salt, name, formula):
    text = with_operations(rock_salt, [])
    text = text.replace("_symmetry_space_group_name_H-M 'F m -3 m'", name)
    structure, _, notes = read(text)
    assert structure.composition.formula == formula
    assert any("symmetry" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_symmetry_space_group_name_H-M 'F m 3 q'", "pymatgen does not know those of"),
        ("_symmetry_space_group_name_H-M F m -3 m", "has 4 values for 1 data names"),
        ("_symmetry_space_group_name_H-M 'F m -3 m", "does not end there"),
        ("_space_group_IT_number 999", "pymatgen does not know those of"),
        ("_space_group_name_Hall 'P 3 2'", "does not know those of 'P 3 2'"),
        (
            "_space_group_IT_number 225\n_symmetry_space_group_name_H-M 'P 1'",
            "does not know those of 'P 1', '225'",
        ),
    ],
)
def test_unknown_space_groups_are_refused(reason, rock_salt, name, expected):
    text = with_operations(rock_salt, [])
    text = text.replace("_symmetry_space_group_name_H-M 'F m -3 m'", name)
    assert expected in reason(text)


def test_modulated_structures_are_refused(reason, rock_salt):
    text = with_operations(rock_salt, []) + "_cell_modulation_dimension 1\n"
    assert "modulated structure" in reason(text)


MAGNETIC = """\
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
loop_
_space_group_symop_magn_centering.id
_space_group_symop_magn_centering.xyz
1 x,y,z,+1
2 x+1/2,y+1/2,z,+1
3 x+1/2,y,z+1/2,-1
4 x,y+1/2,z+1/2,-1
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
Na1 0 0 1.5
"""


def test_magnetic_structures(read, reason, rock_salt):
    text = with_operations(rock_salt, []) + MAGNETIC
    structure, why, _ = read(text)
    assert why == ""
    assert structure.composition.formula == "Na4 Cl4"
    moments = [m.moment[2] for m in structure.site_properties["magmom"]]
    assert sorted(moments) == [-1.5, -1.5, 0, 0, 0, 0, 1.5, 1.5]
    assert "not of the form x,y,z,+1" in reason(text.replace(",-1", ",-2"))


def test_moments_do_not_replace_ordinary_operations(read, rock_salt):
    moments = MAGNETIC[MAGNETIC.index("loop_\n_atom_site_moment") :]
    structure = read(rock_salt + moments).structure
    assert structure.composition.formula == "Na4 Cl4"
