"""Datasets of crystals: download, load or generate them, or read them one by one."""

from sklearn_cgcnn.datasets._ase_entries import iter_ase_database, iter_extended_xyz
from sklearn_cgcnn.datasets._cif_directory import load_cif_directory
from sklearn_cgcnn.datasets._cif_entries import iter_cif_directory
from sklearn_cgcnn.datasets._entries import CrystalEntry
from sklearn_cgcnn.datasets._ionic_crystals import make_ionic_crystals
from sklearn_cgcnn.datasets._json_lines import iter_json_lines
from sklearn_cgcnn.datasets._matminer import fetch_matminer
from sklearn_cgcnn.datasets._packed_arrays import iter_packed_arrays

__all__ = [
    "CrystalEntry",
    "fetch_matminer",
    "iter_ase_database",
    "iter_cif_directory",
    "iter_extended_xyz",
    "iter_json_lines",
    "iter_packed_arrays",
    "load_cif_directory",
    "make_ionic_crystals",
]
