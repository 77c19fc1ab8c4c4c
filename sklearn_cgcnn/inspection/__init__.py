"""Explain the predictions of a fitted model."""

from sklearn_cgcnn.inspection._site_contributions import site_contributions

__all__ = ["site_contributions"]
