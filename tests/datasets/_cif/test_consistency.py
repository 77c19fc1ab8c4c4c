import pytest


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("'Cl Na'", "'Cl2 Na'", "the sites are Na4 Cl4, but the formula is 'Cl2 Na'"),
        ("'Cl Na'", "'Cl Na H'", "the sites are Na4 Cl4, but the formula is 'Cl Na H'"),
        ("units_Z 4", "units_Z 8", "formula is 'Cl Na', with 8 formula units"),
        ("'Cl Na'", "'Cl1.03 Na'", "the sites are Na4 Cl4, but the formula is"),
        ("'Cl Na'", "'of salt'", "the formula 'of salt' cannot be read"),
        (
            "_volume 177.5",
            "_volume 180",
            "has a volume of 177.504 Å³, but _cell_volume is",
        ),
    ],
)
def test_contradictions_are_noted(read, rock_salt, old, new, note):
    structure, _, notes = read(rock_salt.replace(old, new))
    assert structure == read(rock_salt).structure
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("units_Z 4", "units_Z ?"),
        ("units_Z 4", "units_Z four"),
        ("'Cl Na'", "'Cl4 Na4'"),
        ("'Cl Na'", "?"),
        ("'Cl Na'", "'Cl1.01 Na.99'"),
        ("_volume 177.5", "_volume 177.51(3)"),
        ("_volume 177.5", "_volume ?"),
    ],
)
def test_what_does_not_contradict(read_without_notes, rock_salt, old, new):
    read_without_notes(rock_salt.replace(old, new))


def with_column(text, name, values):
    text = text.replace("_occupancy\n", f"_occupancy\n_atom_site_{name}\n")
    for value in values:
        text = text.replace(" 1.\n", f" 1. {value}\n", 1)
    return text


@pytest.mark.parametrize(
    ("values", "is_noted"), [((4, 4), False), ((1, 1), False), ((4, 8), True)]
)
def test_multiplicities(read, rock_salt, values, is_noted):
    notes = read(with_column(rock_salt, "symmetry_multiplicity", values)).notes
    expected = (
        "the symmetry operations make 4 sites of site 2, but its multiplicity is given "
        "as 8"
    )
    assert notes == [expected] * is_noted


def test_attached_hydrogen_is_noted(read, rock_salt):
    text = with_column(rock_salt, "attached_hydrogens", ["0", "2"])
    note = "hydrogen attached to sites is not in the structure (1 sites)"
    assert read(text).notes == [note]


def test_sites_that_are_too_close_are_noted(read, rock_salt):
    # A site beside a mirror that it should lie on becomes two.
    text = rock_salt.replace("x+1/2,y,z+1/2\nx,y+1/2,z+1/2", "-x,y,z\n-x+1/2,y+1/2,z")
    notes = read(text.replace("0. 0. 0. 1.", "0.002 0. 0. 1.")).notes
    assert any("two sites are 0.022 Å apart: Na at" in note for note in notes)


def test_close_sites_that_are_occupied_in_turn(read, rock_salt):
    text = rock_salt.replace("0. 0. 0. 1.", "0. 0. 0. 0.5") + "K1 K 0.03 0 0 0.5\n"
    structure, _, notes = read(text)
    assert len(structure) == 12
    assert not any("apart" in note for note in notes)


def test_one_of_many_sites_is_missing(read, rock_salt):
    sites = "".join(f"Na1 Na 0.1 0.2 {n / 100} 1.\n" for n in range(99))
    text = rock_salt.replace("Cl1 Cl1-", sites + "Cl1 Cl1-")
    notes = read(text.replace("Cl Na", "Cl Na100")).notes
    assert not any("formula" in note for note in notes)
    notes = read(text.replace("Cl Na", "Cl Na101")).notes
    assert notes[0].startswith("the sites are Na400 Cl4, but the formula is 'Cl Na101'")
