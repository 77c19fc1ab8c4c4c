"""Drawing of values of the elements as a periodic table."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pymatgen.core import Element

from sklearn_cgcnn._display import Display
from sklearn_cgcnn.inspection._element_contributions import element_contributions

_MAX_ATOMIC_NUMBER = 118
_SYMBOLS = [Element.from_Z(z).symbol for z in range(1, _MAX_ATOMIC_NUMBER + 1)]

# Rows, counted downwards, of the lanthanides and actinides below the other elements.
_LANTHANIDES, _ACTINIDES = 8.4, 9.4

_WITHOUT_VALUE = "0.9"  # a light gray
_SIZE = (10.5, 6.0)  # inches of a new figure, so that numbers fit into the cells
_SIDE = 0.94  # of a cell, with gaps between cells


class PeriodicTableDisplay(Display):
    """Draw values of the elements as a periodic table (paper, Figs. 3c and 3d).

    Cells of elements without a value are gray.

    Parameters
    ----------
    values : dict of str to float
        The values by symbol.
    label : str, default=""
        What the values are, with their unit, for the color bar.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    cells_ : matplotlib PatchCollection
        The cells of the elements with a value, in the order of `values`.

    See Also
    --------
    element_contributions : Mean contributions of the elements.

    Examples
    --------
    >>> from sklearn_cgcnn.inspection import PeriodicTableDisplay
    >>> radii = {"Li": 0.76, "Na": 1.02, "Cl": 1.81}
    >>> display = PeriodicTableDisplay.from_values(radii, label="ionic radius (Å)")
    >>> display.cells_.get_array().tolist()
    [0.76, 1.02, 1.81]
    """

    cells_: Any

    def __init__(self, values: dict[str, float], label: str = "") -> None:
        self.values = values
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        roles: Any = None,
        role: str | None = None,
        output: int | None = None,
        label: str = "mean contribution",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the mean contribution of each element, and draw it.

        Parameters
        ----------
        estimator : CGCNNRegressor, or estimator that ends in one
            Estimator fitted with ``readout="site"``. A Pipeline or a search may contain
            it.
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        roles : sequence of (sequence of str), default=None
            Labels of the sites of each crystal, as in :func:`element_contributions`.
        role : str, default=None
            The label whose sites are drawn. Required with `roles`.
        output : int, default=None
            Position of the target, if the estimator was fitted on several.
        label : str, default="mean contribution"
            What the values are, with their unit, for the color bar.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        PeriodicTableDisplay

        Raises
        ------
        ValueError
            If only one of `roles` and `role` is given, no site has this role, or under
            the same conditions as :func:`element_contributions`.
        """
        if (roles is None) != (role is None):
            given, missing = ("role", "roles") if roles is None else ("roles", "role")
            raise ValueError(
                f"{given} is given without {missing}; pass both of them, or neither"
            )
        means = element_contributions(estimator, X, roles=roles, output=output)["mean"]
        if role is not None:
            means = means.loc[_check_role(role, means.index.unique("role"))]
        return cls.from_values(means, label=label, ax=ax, **kwargs)

    @classmethod
    def from_values(
        cls, values: Any, *, label: str = "", ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw values that are given.

        Parameters
        ----------
        values : mapping of str to float, or Series
            The values by symbol. NaN stands for no value.
        label : str, default=""
            What the values are, with their unit, for the color bar.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        PeriodicTableDisplay

        Raises
        ------
        TypeError
            If `values` is of another type, or a value is not a number.
        ValueError
            If a key is not the symbol of an element or occurs twice, a value is
            infinite, or there are no values.
        """
        return cls(_check_values(values), label).plot(ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        number_format: str | None = ".2f",
        **kwargs: Any,
    ) -> Self:
        """Draw the table, with the color bar in the gap above the transition metals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones. Text is as large as fits the axes.
        name : str, default=None
            The title, such as the name of the model or the role.
        number_format : str, default=".2f"
            How values are written into the cells, as in :func:`format`. None leaves
            them out.
        **kwargs : dict
            Passed to `matplotlib.collections.PatchCollection`, such as `cmap`, `norm`
            and `clim`.

        Returns
        -------
        PeriodicTableDisplay
        """
        self._prepare_axes(ax)
        absent = [symbol for symbol in _SYMBOLS if symbol not in self.values]
        self._draw_cells(absent, facecolor=_WITHOUT_VALUE)
        self.cells_ = self._draw_cells(list(self.values), **kwargs)
        self.cells_.set_array(np.array(list(self.values.values()), dtype=np.float64))
        self._write_symbols(number_format)
        self._add_color_bar()
        if name is not None:
            self.ax_.set_title(name)
        return self

    def _prepare_axes(self, ax: Any) -> None:
        axes = self._begin(ax)
        if ax is None:
            axes.figure.set_size_inches(_SIZE)
            axes.figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.93)
        axes.set(aspect="equal", xlim=(0.4, 18.6), ylim=(_ACTINIDES + 0.6, 0.4))
        axes.axis("off")

    def _draw_cells(self, symbols: list[str], **kwargs: Any) -> Any:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        cells = [
            Rectangle((x - _SIDE / 2, y - _SIDE / 2), _SIDE, _SIDE)
            for x, y in map(_place, symbols)
        ]
        return self.ax_.add_collection(PatchCollection(cells, **kwargs))

    def _write_symbols(self, number_format: str | None) -> None:
        numbers = self._numbers(number_format)
        size = self._cell_size()
        # The longest number decides: a digit is 0.6 times as wide as its font size.
        longest = max(map(len, numbers.values()), default=0)
        number_size = min(0.24, 1.3 / max(longest, 1)) * size
        colors = dict(zip(self.values, self._text_colors(), strict=True))
        for symbol in _SYMBOLS:
            x, y = _place(symbol)
            text = {"color": colors.get(symbol, "0.45"), "ha": "center", "va": "center"}
            above = 0.16 if symbol in numbers else 0.0
            self.ax_.text(x, y - above, symbol, fontsize=0.36 * size, **text)
            if symbol in numbers:
                number = numbers[symbol]
                self.ax_.text(x, y + 0.24, number, fontsize=number_size, **text)

    def _numbers(self, number_format: str | None) -> dict[str, str]:
        """Return what is written below the symbols."""
        if number_format is None:
            return {}
        return {
            symbol: format(value, number_format).replace("-", "\N{MINUS SIGN}")
            for symbol, value in self.values.items()
        }

    def _cell_size(self) -> float:
        """Return the side of a cell in points."""
        corners = self.ax_.transData.transform([(0, 0), (1, 1)])
        return float(abs(corners[1] - corners[0]).min() * 72 / self.figure_.dpi)

    def _text_colors(self) -> list[str]:
        """Return white for the dark cells, and black for the others."""
        colors = self.cells_.to_rgba(self.cells_.get_array())[:, :3]
        luminance = colors @ [0.299, 0.587, 0.114]
        return ["white" if each < 0.5 else "black" for each in luminance]

    def _add_color_bar(self) -> None:
        # In units of cells: the columns 3 to 12 are empty in the rows 1 to 3.
        place = self.ax_.inset_axes([3.4, 1.5, 8.2, 0.4], transform=self.ax_.transData)
        bar = self.figure_.colorbar(self.cells_, cax=place, orientation="horizontal")
        size = self._cell_size()
        bar.set_label(self.label, fontsize=0.32 * size)
        bar.ax.tick_params(labelsize=0.28 * size)


def _place(symbol: str) -> tuple[float, float]:
    """Return column and row of an element."""
    element = Element(symbol)
    if element.is_lanthanoid:
        return 3.0 + element.Z - Element("La").Z, _LANTHANIDES
    if element.is_actinoid:
        return 3.0 + element.Z - Element("Ac").Z, _ACTINIDES
    return float(element.group), float(element.row)


def _check_role(role: str, known: Any) -> str:
    if role not in known:
        listed = ", ".join(map(repr, known))
        raise ValueError(f"role={role!r}, but the roles are {listed}; pass one of them")
    return role


def _check_values(values: Any) -> dict[str, float]:
    """Return the values that are not NaN by symbol, in the order of atomic numbers."""
    if not isinstance(values, Mapping) and not hasattr(values, "items"):
        raise TypeError(
            f"values is of type {type(values).__name__}; pass a mapping or a Series of "
            "symbols of elements to numbers"
        )
    checked = dict[str, float]()
    for key, value in values.items():
        symbol = _check_symbol(key)
        if symbol in checked:
            raise ValueError(f"values has {symbol!r} twice; pass one value per element")
        checked[symbol] = _check_value(symbol, value)
    known = {each: checked[each] for each in _SYMBOLS if each in checked}
    known = {symbol: value for symbol, value in known.items() if not np.isnan(value)}
    if not known:
        raise ValueError("values has no number; pass the value of at least one element")
    return known


def _check_symbol(key: Any) -> str:
    symbol = str(key)  # of an Element, too
    if symbol not in _SYMBOLS:
        raise ValueError(
            f"values has the key {key!r}, which is not the symbol of an element; pass "
            'symbols such as "Fe"'
        )
    return symbol


def _check_value(symbol: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"values[{symbol!r}] is {value!r}, which is not a number; convert it, or "
            "leave this element out"
        ) from None
    if np.isinf(number):
        raise ValueError(
            f"values[{symbol!r}] is infinite, and has no color; leave this element out"
        )
    return number
