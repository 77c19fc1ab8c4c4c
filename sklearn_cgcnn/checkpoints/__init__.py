"""Models that the program of the paper's authors has trained."""

from sklearn_cgcnn.checkpoints._original import load_original_checkpoint

__all__ = ["load_original_checkpoint"]
