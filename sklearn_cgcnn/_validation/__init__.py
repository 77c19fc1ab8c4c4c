"""Checks of the inputs of estimators: crystals, targets and sample weights."""

from sklearn_cgcnn._validation._crystals import (
    check_crystals,
    check_each,
    check_elements,
    find_unknown_elements,
)
from sklearn_cgcnn._validation._naming import named_as_in
from sklearn_cgcnn._validation._sample_weight import check_sample_weight
from sklearn_cgcnn._validation._targets import (
    check_class_target,
    check_labels,
    check_regression_target,
)

__all__ = [
    "check_class_target",
    "check_crystals",
    "check_each",
    "check_elements",
    "check_labels",
    "check_regression_target",
    "check_sample_weight",
    "find_unknown_elements",
    "named_as_in",
]
