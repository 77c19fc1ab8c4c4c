"""Load models that were trained by the program of the paper's authors."""

from sklearn_cgcnn.checkpoints._original import load_original_checkpoint

__all__ = ["load_original_checkpoint"]
