"""Explain the predictions of a fitted model, and draw how good they are."""

from sklearn_cgcnn.inspection._element_contributions import element_contributions
from sklearn_cgcnn.inspection._embeddings import crystal_embeddings, site_embeddings
from sklearn_cgcnn.inspection._loss_curve_display import LossCurveDisplay
from sklearn_cgcnn.inspection._parity_display import ParityDisplay
from sklearn_cgcnn.inspection._periodic_table_display import PeriodicTableDisplay
from sklearn_cgcnn.inspection._site_attributions import site_attributions
from sklearn_cgcnn.inspection._site_contributions import site_contributions
from sklearn_cgcnn.inspection._site_properties import with_site_contributions
from sklearn_cgcnn.inspection._undetermined_shifts import undetermined_shifts

__all__ = [
    "LossCurveDisplay",
    "ParityDisplay",
    "PeriodicTableDisplay",
    "crystal_embeddings",
    "element_contributions",
    "site_attributions",
    "site_contributions",
    "site_embeddings",
    "undetermined_shifts",
    "with_site_contributions",
]
