"""Ionic crystals whose site energies are known, to compare contributions with."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.utils import Bunch

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.inspection import site_contributions, undetermined_shifts


class KnownSiteEnergies:
    """Crystals to train on, and others of the same elements to compare on.

    Parameters
    ----------
    n_train, n_test : int
        Numbers of crystals. Test crystals with other elements are left out.
    seed : int, default=0
        Determines the crystals.
    """

    def __init__(self, n_train, n_test, seed=0):
        self.train = make_ionic_crystals(n_train, random_state=2 * seed)
        test = make_ionic_crystals(n_test, random_state=2 * seed + 1)
        self.shifts = undetermined_shifts(self.train.data)
        known = set(self.shifts.index)
        kept = [i for i, each in enumerate(test.data) if known >= {*each.symbol_set}]
        self.test = Bunch(
            data=[test.data[i] for i in kept],
            target=test.target[kept],
            site_energies=[test.site_energies[i] for i in kept],
        )
        featurizer = CrystalGraphFeaturizer()
        self.train_graphs = featurizer.transform(self.train.data)
        self.test_graphs = featurizer.transform(self.test.data)
        self.test_energies = np.concatenate(self.test.site_energies)
        self.test_elements = [
            site.specie.symbol for each in self.test.data for site in each
        ]

    def means_of_crystals(self, values):
        """Return the mean of the values of the sites of each test crystal."""
        ends = np.cumsum([len(each) for each in self.test.data])[:-1]
        return np.array([part.mean() for part in np.split(values, ends)])

    def compare(self, model):
        """Return rank correlations of the contributions of a model with the truth."""
        contributions = np.concatenate(site_contributions(model, self.test_graphs))
        errors = np.abs(model.predict(self.test_graphs) - self.test.target)
        return {
            "mean absolute error": float(errors.mean()),
            **self.rank_correlations(contributions),
        }

    def without_a_model(self):
        """Return rank correlations of two trivial answers with the truth.

        They tell what to expect of a model that has learned nothing about sites: the
        shift alone, added to zeros, and the mean energy of its crystal on every site.
        """
        counts = [len(each) for each in self.test.data]
        equal_shares = np.repeat(self.test.target, counts)
        return {
            "shift alone": self.rank_correlations(np.zeros(len(equal_shares))),
            "equal shares": self.rank_correlations(equal_shares),
        }

    def rank_correlations(self, values):
        """Return Spearman's rank correlations of values of the test sites."""
        sites = pd.DataFrame({"found": values, "true": self.test_energies})
        basis = self.shifts.loc[self.test_elements].to_numpy()
        # The shift that makes the values most similar to the truth: it is not in the
        # data, and has one free number for each column of the basis.
        scale, *_ = np.linalg.lstsq(basis, sites["true"] - sites["found"])
        sites["shifted"] = sites["found"] + basis @ scale
        groups = sites.groupby(self.test_elements)
        means, centered = groups.mean(), sites - groups.transform("mean")
        return {
            "sites": _spearman(sites, "found"),
            "sites, up to the shift": _spearman(sites, "shifted"),
            "means of elements": _spearman(means, "found"),
            "means of elements, up to the shift": _spearman(means, "shifted"),
            "sites of an element": _spearman(centered, "found"),
        }


def _spearman(table, column):
    if np.allclose(table[column], table[column].iloc[0]):
        return np.nan  # no order
    return float(spearmanr(table[column], table["true"]).statistic)
