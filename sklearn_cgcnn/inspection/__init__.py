"""Explain the predictions of a fitted model."""

from sklearn_cgcnn.inspection._embeddings import crystal_embeddings, site_embeddings
from sklearn_cgcnn.inspection._site_contributions import site_contributions

__all__ = ["crystal_embeddings", "site_contributions", "site_embeddings"]
