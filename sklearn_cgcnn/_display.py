"""What all displays share: they compute, store, and then draw, as scikit-learn's do."""

from typing import Any


class Display:
    """Base class of displays.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    """

    ax_: Any
    figure_: Any

    def _begin(self, ax: Any) -> Any:
        """Keep the axes given, or new ones, and return them."""
        self.ax_ = _axes_to_draw_on(ax)
        self.figure_ = self.ax_.figure
        return self.ax_


def _axes_to_draw_on(ax: Any) -> Any:
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is needed to draw; install it with: pip install matplotlib"
        ) from error
    return plt.subplots()[1] if ax is None else ax
