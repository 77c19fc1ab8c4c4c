"""Crystals to learn from: fetched from a repository, or made on the spot."""

from sklearn_cgcnn.datasets._ionic_crystals import make_ionic_crystals
from sklearn_cgcnn.datasets._matminer import fetch_matminer

__all__ = ["fetch_matminer", "make_ionic_crystals"]
