"""The one place that imports private names of scikit-learn."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

__all__ = ["Interval", "StrOptions", "fit_context", "validate_params"]
