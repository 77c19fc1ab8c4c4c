"""What scikit-learn is told about the input of estimators that take crystals."""

from sklearn.utils import Tags


class CrystalInput:
    """Mixin of an estimator whose X is a sequence of crystals, not a table."""

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = False
        return tags
