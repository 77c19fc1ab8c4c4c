"""Where cells of a periodic table lie, and what they show."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.inspection import PeriodicTableDisplay, element_contributions

# Written by hand: a row of the table per line, and a dot for a place without element.
LAYOUT = """
H  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  He
Li Be .  .  .  .  .  .  .  .  .  .  B  C  N  O  F  Ne
Na Mg .  .  .  .  .  .  .  .  .  .  Al Si P  S  Cl Ar
K  Ca Sc Ti V  Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y  Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I  Xe
Cs Ba .  Hf Ta W  Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra .  Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
.  .  La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu .
.  .  Ac Th Pa U  Np Pu Am Cm Bk Cf Es Fm Md No Lr .
"""
ROWS = [line.split() for line in LAYOUT.strip().splitlines()]
SYMBOLS = {symbol for row in ROWS for symbol in row} - {"."}
VALUES = {"Fe": -1.25, "H": 3.0, "Lu": 0.5, "Og": 12.0}
BY_NUMBER = ["H", "Fe", "Lu", "Og"]


def texts_of(display):
    """Texts by what they say."""
    return {text.get_text(): text for text in display.ax_.texts}


def test_every_element_has_its_place(pyplot):
    display = PeriodicTableDisplay.from_values(VALUES, number_format=None)
    places = {name: text.get_position() for name, text in texts_of(display).items()}
    assert places.keys() == SYMBOLS
    assert len(display.ax_.texts) == 118
    # Columns are 1 to 18. Rows come one below the other: y points downwards.
    heights = sorted({y for _, y in places.values()})
    assert len(heights) == 9
    bottom, top = display.ax_.get_ylim()
    assert bottom > max(heights) > min(heights) > top
    found = [["."] * 18 for _ in heights]
    for name, (x, y) in places.items():
        assert found[heights.index(y)][int(x) - 1] == "."
        found[heights.index(y)][int(x) - 1] = name
        assert x == int(x)
    assert found == ROWS


def test_cells_have_the_colors_of_their_values(pyplot):
    display = PeriodicTableDisplay.from_values(VALUES, cmap="coolwarm", label="charge")
    assert list(display.values) == BY_NUMBER
    expected = [VALUES[symbol] for symbol in BY_NUMBER]
    np.testing.assert_array_equal(display.cells_.get_array(), expected)
    display.figure_.canvas.draw()
    colormap = pyplot.get_cmap("coolwarm")
    scaled = (np.array(expected) + 1.25) / 13.25
    np.testing.assert_allclose(display.cells_.get_facecolor(), colormap(scaled))
    # Each cell surrounds its symbol.
    texts = texts_of(display)
    for symbol, path in zip(BY_NUMBER, display.cells_.get_paths(), strict=True):
        assert path.contains_point(texts[symbol].get_position())
    # All others are gray.
    (others,) = set(display.ax_.collections) - {display.cells_}
    assert len(others.get_paths()) == 118 - len(VALUES)
    ((red, green, blue, _),) = others.get_facecolor()
    assert red == green == blue < 1
    assert not any(
        path.contains_point(texts[symbol].get_position())
        for path in others.get_paths()
        for symbol in VALUES
    )
    (bar,) = display.ax_.child_axes
    assert bar.get_xlabel() == "charge"


def test_numbers_are_written_and_fit(pyplot):
    values = {"H": -1234.5678, "He": 1.0, "Lr": float("nan")}
    display = PeriodicTableDisplay.from_values(values, number_format=".3f")
    assert list(display.values) == ["H", "He"]
    written = ["\N{MINUS SIGN}1234.568", "1.000"]
    assert set(written) <= texts_of(display).keys()
    assert len(display.ax_.texts) == 120
    display.figure_.canvas.draw()
    side = abs(np.diff(display.ax_.transData.transform([(0, 0), (1, 1)]), axis=0)).min()
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    assert max(box.width for box in boxes) < side
    # No two texts overlap.
    overlaps = [
        (one, other)
        for one in range(120)
        for other in range(one)
        if boxes[one].overlaps(boxes[other])
    ]
    assert overlaps == []


def test_text_is_readable_on_dark_and_on_light_cells(pyplot):
    values = {"H": 0.0, "He": 1.0}
    for colormap, colors in (("gray", "wk"), ("gray_r", "kw")):
        texts = texts_of(PeriodicTableDisplay.from_values(values, cmap=colormap))
        expected = [{"w": "white", "k": "black"}[color] for color in colors]
        assert [texts[symbol].get_color() for symbol in values] == expected


def test_the_color_bar_touches_no_cell(pyplot):
    display = PeriodicTableDisplay.from_values(dict.fromkeys(SYMBOLS, 1.0), label="a")
    display.figure_.canvas.draw()
    (bar,) = display.ax_.child_axes
    box = bar.get_tightbbox()
    corners = display.ax_.transData.inverted().transform(box.corners())
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    assert 2.5 < left < right < 12.5
    assert 0.5 < top < bottom < 3.5


def test_it_draws_on_the_axes_given_and_again(pyplot):
    figure, (first, second) = pyplot.subplots(2)
    size = figure.get_size_inches().copy()
    display = PeriodicTableDisplay.from_values(VALUES, ax=first, name="charges")
    assert display.ax_ is first
    assert first.get_title() == "charges"
    assert display.plot(second) is display
    assert display.ax_ is second
    assert display.figure_ is figure
    np.testing.assert_array_equal(figure.get_size_inches(), size)
    figure.canvas.draw()


def test_contributions_are_drawn(site_model, ionic, ionic_roles, pyplot):
    table = element_contributions(site_model, ionic.data)
    display = PeriodicTableDisplay.from_estimator(site_model, ionic.data)
    assert display.values == table["mean"].to_dict()
    table = element_contributions(site_model, ionic.data, roles=ionic_roles)
    display = PeriodicTableDisplay.from_estimator(
        site_model, ionic.data, roles=ionic_roles, role="in halide", label="eV"
    )
    assert display.values == table.loc["in halide", "mean"].to_dict()
    assert display.label == "eV"


def test_one_of_several_targets_is_drawn(ionic, pyplot):
    y = np.column_stack([ionic.target, -2 * ionic.target])
    model = CGCNNRegressor(readout="site", **SMALL).fit(ionic.data, y)
    display = PeriodicTableDisplay.from_estimator(model, ionic.data, output=1)
    table = element_contributions(model, ionic.data, output=1)
    assert display.values == table["mean"].to_dict()


def test_keys_may_be_elements_and_values_a_series(pyplot):
    series = pd.Series(VALUES)
    by_element = {Element(symbol): value for symbol, value in VALUES.items()}
    for values in (series, by_element):
        display = PeriodicTableDisplay.from_values(values)
        assert display.values == VALUES


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "values is of type list; pass a mapping or a Series"),
        ({"Xx": 1.0}, ValueError, "has the key 'Xx', which is not the symbol of an"),
        ({"D": 1.0}, ValueError, "has the key 'D', which is not"),
        ({26: 1.0}, ValueError, "has the key 26, which is not"),
        ({"Fe": "high"}, TypeError, r"values\['Fe'\] is 'high', which is not a number"),
        ({"Fe": None}, TypeError, r"values\['Fe'\] is None, which is not a number"),
        ({"Fe": np.inf}, ValueError, r"values\['Fe'\] is infinite"),
        ({"Fe": 1.0, Element("Fe"): 2.0}, ValueError, "has 'Fe' twice"),
        ({"Fe": np.nan}, ValueError, "values has no number; pass the value of at"),
        ({}, ValueError, "values has no number"),
    ],
)
def test_values_that_cannot_be_drawn(values, error, message):
    with pytest.raises(error, match=message):
        PeriodicTableDisplay.from_values(values)


def test_roles_that_do_not_match(site_model, ionic, ionic_roles):
    draw = PeriodicTableDisplay.from_estimator
    with pytest.raises(ValueError, match="roles is given without role; pass both"):
        draw(site_model, ionic.data, roles=ionic_roles)
    with pytest.raises(ValueError, match="role is given without roles; pass both"):
        draw(site_model, ionic.data, role="anion")
    known = "the roles are 'anion', 'in chalcogenide', 'in halide'"
    with pytest.raises(ValueError, match=f"role='B', but {known}; pass one of them"):
        draw(site_model, ionic.data, roles=ionic_roles, role="B")
