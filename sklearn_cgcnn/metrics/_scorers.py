"""Scorers over known values, for the parameter `scoring` of scikit-learn."""

from sklearn.metrics import make_scorer

from sklearn_cgcnn.metrics._scores import (
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

neg_mean_absolute_error = make_scorer(mean_absolute_error, greater_is_better=False)
neg_root_mean_squared_error = make_scorer(
    root_mean_squared_error, greater_is_better=False
)
r2 = make_scorer(r2_score)
