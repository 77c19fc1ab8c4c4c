"""What a fitted model says beyond its predictions."""

from sklearn_cgcnn.inspection._site_contributions import site_contributions

__all__ = ["site_contributions"]
