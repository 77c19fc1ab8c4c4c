"""What all displays share: they compute, store, and then draw, as scikit-learn's do."""

from typing import Any


def axes_to_draw_on(ax: Any) -> Any:
    """Return the axes given, or new ones.

    Parameters
    ----------
    ax : matplotlib Axes or None
        The axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is needed to draw; install it with: pip install matplotlib"
        ) from error
    return plt.subplots()[1] if ax is None else ax
