"""Properties of the elements, and tables of site features made from them."""

from sklearn_cgcnn.graphs._elements._properties import (
    MAX_ATOMIC_NUMBER,
    PROPERTIES,
    ElementProperty,
    element_property,
    one_hot_site_features,
    scaled_properties,
)
from sklearn_cgcnn.graphs._elements._table import element_table

__all__ = [
    "MAX_ATOMIC_NUMBER",
    "PROPERTIES",
    "ElementProperty",
    "element_property",
    "element_table",
    "one_hot_site_features",
    "scaled_properties",
]
