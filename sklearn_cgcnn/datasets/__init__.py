"""Datasets of crystals: download them, load them from a folder, or generate them."""

from sklearn_cgcnn.datasets._cif_directory import load_cif_directory
from sklearn_cgcnn.datasets._ionic_crystals import make_ionic_crystals
from sklearn_cgcnn.datasets._matminer import fetch_matminer

__all__ = ["fetch_matminer", "load_cif_directory", "make_ionic_crystals"]
