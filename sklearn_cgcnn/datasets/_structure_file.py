"""Read a file of any format that pymatgen knows."""

from pathlib import Path

from pymatgen.core import Structure

from sklearn_cgcnn.datasets._cif import CIFReading, read_cif


def read_structure(file: Path) -> CIFReading:
    """Read the crystal of a file.

    Processes that read files call this function, see `_timed_processes`.

    Parameters
    ----------
    file : pathlib.Path
        A CIF file, or any other that pymatgen reads, such as POSCAR.

    Returns
    -------
    CIFReading
        All errors are returned as reasons.
    """
    if file.suffix.lower() == ".cif":
        return read_cif(file)
    if not file.exists():
        return CIFReading(None, "there is no such file or folder", [])
    try:
        return CIFReading(Structure.from_file(file), "", [])
    except Exception as error:  # noqa: BLE001
        # pymatgen raises errors of any type for files that it cannot read.
        return CIFReading(None, f"cannot be read: {error}", [])
