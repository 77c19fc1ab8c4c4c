"""Fitted models in files that are safe to share: they contain data, and no code."""

from sklearn_cgcnn.model_files._files import load_model, read_card, save_model

__all__ = ["load_model", "read_card", "save_model"]
