"""Readings of CIF files with pymatgen alone, and all that can be compared of them."""

from sklearn_cgcnn.datasets._cif import _file, read_cif


def leave_all_to_pymatgen(monkeypatch):
    """Let the reader neither make structures itself, nor use gemmi."""
    monkeypatch.setattr(_file, "make_plain_structure", lambda *args: None)
    monkeypatch.setattr(_file, "parse_with_gemmi", lambda text: None)


def contents(reading):
    """Return all that a reading consists of, with numbers to the last bit."""
    structure, reason, notes = reading
    if structure is None:
        return reason, notes
    sites = [
        (
            str(site.species),
            site.species.as_dict(),
            [type(each) for each in site.species],
            site.label,
            site.properties,
            site.frac_coords.tobytes(),
        )
        for site in structure
    ]
    crystal = structure.lattice.matrix.tobytes(), structure.lattice.pbc, sites
    return reason, notes, crystal, structure.properties, structure._charge


def assert_same_readings(files, monkeypatch):
    """Read files as usual and with pymatgen alone, and compare.

    Returns
    -------
    list of bool
        Whether each of the structures was made without pymatgen's reader.
    """
    made = []

    def make_plain_structure(*args):
        result = make(*args)
        made[-1] = result is not None
        return result

    make = _file.make_plain_structure
    for file in files:
        made.append(False)
        with monkeypatch.context() as patch:
            patch.setattr(_file, "make_plain_structure", make_plain_structure)
            reading = read_cif(file)
        with monkeypatch.context() as patch:
            leave_all_to_pymatgen(patch)
            expected = read_cif(file)
        assert contents(reading) == contents(expected), file
    return made
