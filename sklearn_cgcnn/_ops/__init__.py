"""Sums over the edges of a batch."""
