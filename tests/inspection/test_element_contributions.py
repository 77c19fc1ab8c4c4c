"""Averages over the sites of each element, against loops over the sites."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element, Lattice, Structure
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import element_contributions, site_contributions

DISORDERED = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])


def looped(contributions, crystals, roles=None):
    """The same table, one site at a time: rows of statistics by key."""
    found = {}
    for row, (values, crystal) in enumerate(zip(contributions, crystals, strict=True)):
        for index, value in enumerate(values):
            symbol = crystal[index].specie.symbol
            key = symbol if roles is None else (roles[row][index], symbol)
            found.setdefault(key, []).append((row, value))
    return {
        key: (
            sum(value for _, value in each) / len(each),
            np.std([value for _, value in each]),
            len(each),
            len({row for row, _ in each}),
        )
        for key, each in found.items()
    }


def assert_is(table, expected):
    assert list(table.columns) == ["mean", "std", "n_sites", "n_crystals"]
    assert set(table.index) == set(expected)
    for key, row in expected.items():
        np.testing.assert_allclose(table.loc[key], row, rtol=1e-6, atol=1e-9)


def test_a_mean_over_the_sites_of_each_element(site_model, ionic, graphs):
    expected = looped(site_contributions(site_model, ionic.data), ionic.data)
    table = element_contributions(site_model, ionic.data)
    assert_is(table, expected)
    assert table.index.name == "element"
    numbers = [Element(symbol).Z for symbol in table.index]
    assert numbers == sorted(numbers)
    assert (table["std"] > 0).sum() > 10
    assert (table["n_sites"] > table["n_crystals"]).any()
    pd.testing.assert_frame_equal(element_contributions(site_model, graphs), table)


def test_sites_may_come_in_any_order(site_model, ionic):
    """Equivalent sites, which are merged in a graph, then do not come together."""
    rng = np.random.RandomState(0)
    shuffled = []
    for crystal in ionic.data:
        cell = crystal.make_supercell([2, 1, 1], in_place=False)
        sites = [cell[index] for index in rng.permutation(len(cell))]
        shuffled.append(Structure.from_sites(sites))
    expected = looped(site_contributions(site_model, shuffled), shuffled)
    assert_is(element_contributions(site_model, shuffled), expected)


def test_all_elements_together_give_the_predictions(site_model, ionic):
    table = element_contributions(site_model, ionic.data)
    sizes = [len(crystal) for crystal in ionic.data]
    total = site_model.predict(ionic.data) @ sizes
    assert table["mean"] @ table["n_sites"] == pytest.approx(total, rel=1e-5)
    assert table["n_sites"].sum() == sum(sizes)


def test_an_element_has_a_mean_for_each_of_its_roles(site_model, ionic, ionic_roles):
    contributions = site_contributions(site_model, ionic.data)
    expected = looped(contributions, ionic.data, ionic_roles)
    table = element_contributions(site_model, ionic.data, roles=ionic_roles)
    assert_is(table, expected)
    assert table.index.names == ["role", "element"]
    order = [(role, Element(symbol).Z) for role, symbol in table.index]
    assert order == sorted(order)
    halide = set(table.loc["in halide"].index)
    assert halide & set(table.loc["in chalcogenide"].index)
    # Other containers hold the same labels.
    as_series = pd.Series(map(np.array, ionic_roles), index=range(60, 0, -1))
    again = element_contributions(site_model, ionic.data, roles=as_series)
    pd.testing.assert_frame_equal(again, table)


def test_ions_of_an_element_are_that_element(site_model, ionic):
    decorated = [crystal.copy() for crystal in ionic.data]
    for crystal in decorated:
        crystal.add_oxidation_state_by_guess()
    pd.testing.assert_frame_equal(
        element_contributions(site_model, decorated),
        element_contributions(site_model, ionic.data),
    )


def test_one_of_several_targets_is_chosen(ionic):
    y = np.column_stack([ionic.target, -2 * ionic.target])
    model = CGCNNRegressor(readout="site", **SMALL).fit(ionic.data, y)
    contributions = site_contributions(model, ionic.data)
    for output in (0, 1):
        expected = looped([each[:, output] for each in contributions], ionic.data)
        assert_is(element_contributions(model, ionic.data, output=output), expected)
    with pytest.raises(ValueError, match=r"output is None, but .* 2 targets; choose"):
        element_contributions(model, ionic.data)
    with pytest.raises(ValueError, match=r"output=2, but .* are 0 to 1"):
        element_contributions(model, ionic.data, output=2)
    with pytest.raises(ValueError, match=r"output=-1, but"):
        element_contributions(model, ionic.data, output=-1)


def test_crystals_that_failed_contribute_nothing(ionic, ionic_roles):
    model = CGCNNRegressor(readout="site", on_error="collect", **SMALL)
    model.fit(ionic.data, ionic.target)
    mixed = list(ionic.data)
    mixed[3], mixed[20] = DISORDERED, None
    good = [row for row in range(60) if row not in (3, 20)]
    X, roles = [ionic.data[row] for row in good], [ionic_roles[row] for row in good]
    expected = looped(site_contributions(model, X), X)
    assert_is(element_contributions(model, mixed), expected)
    graphs = CrystalGraphFeaturizer(on_error="collect").transform(mixed)
    assert_is(element_contributions(model, graphs), expected)
    # Labels of crystals that failed are not read, whatever their number.
    table = element_contributions(model, mixed, roles=ionic_roles)
    assert_is(table, looped(site_contributions(model, X), X, roles))


def test_without_any_site_the_table_is_empty(site_model, ionic):
    graphs = CrystalGraphFeaturizer(on_error="collect").transform(
        [ionic.data[0], DISORDERED]
    )
    expected = element_contributions(site_model, graphs)
    for roles in (None, [[]]):
        table = element_contributions(site_model, graphs[1:], roles=roles)
        assert len(table) == 0
        assert list(table.columns) == list(expected.columns)
        assert table.index.names[-1] == "element"


def test_crystals_that_the_model_refuses_contribute_nothing(ionic):
    """Graphs of them exist, but a table of site features lacks their elements."""
    known = {site.specie.symbol for crystal in ionic.data[:30] for site in crystal}
    features = {symbol: [Element(symbol).X] for symbol in known - {"O"}}
    model = CGCNNRegressor(
        readout="site", site_features=features, on_error="collect", **SMALL
    )
    X = [each for each in ionic.data if {s.symbol for s in each.species} <= known]
    with pytest.warns(UserWarning, match="cannot become graphs"):
        model.fit(X, np.arange(len(X)))
    left = [each for each in X if Element("O") not in each.composition]
    assert len(left) < len(X)
    expected = looped(site_contributions(model, left), left)
    assert_is(element_contributions(model, X), expected)


def test_pipelines_and_searches_are_accepted(ionic):
    search = GridSearchCV(CGCNNRegressor(readout="site", **SMALL), {"lr": [0.01]}, cv=2)
    pipeline = make_pipeline(CrystalGraphFeaturizer(), search)
    pipeline.fit(ionic.data, ionic.target)
    pd.testing.assert_frame_equal(
        element_contributions(pipeline, ionic.data),
        element_contributions(search.best_estimator_, ionic.data),
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda roles: "A" * 60, TypeError, r"roles is of type str; pass one sequence"),
        (lambda roles: 3, TypeError, r"roles is of type int"),
        (lambda roles: roles[:-1], ValueError, r"roles has 59 items, but X has 60"),
        (
            lambda roles: [*roles[:7], "A" * len(roles[7]), *roles[8:]],
            TypeError,
            r"roles\[7\] is of type str; pass one label for each site, in a list",
        ),
        (lambda roles: [*roles[:7], None, *roles[8:]], TypeError, r"roles\[7\] is of"),
        (
            lambda roles: [*roles[:7], [*roles[7][:-1], 1], *roles[8:]],
            TypeError,
            r"roles\[7\]\[\d\] is of type int, but labels must be str",
        ),
        (
            lambda roles: [*roles[:7], [*roles[7], "A"], *roles[8:]],
            ValueError,
            r"roles\[7\] has (\d) labels, but X\[7\] has (\d) sites; pass one label",
        ),
    ],
)
def test_roles_that_do_not_match(
    site_model, ionic, ionic_roles, change, error, message
):
    with pytest.raises(error, match=message):
        element_contributions(site_model, ionic.data, roles=change(ionic_roles))


def test_models_without_numbers_per_site_are_refused(ionic):
    with pytest.raises(TypeError, match="estimator is or holds a Ridge"):
        element_contributions(Ridge(), ionic.data)
    classifier = CGCNNClassifier(readout="site", **SMALL)
    classifier.fit(ionic.data, ionic.prototype)
    with pytest.raises(ValueError, match=r"CGCNNClassifier, whose .* are logits"):
        element_contributions(classifier, ionic.data)
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    with pytest.raises(ValueError, match='fit the estimator with readout="site"'):
        element_contributions(model, ionic.data)
