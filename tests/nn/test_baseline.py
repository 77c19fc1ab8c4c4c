import numpy as np
import pytest
import torch
from pymatgen.core import Element, Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.nn import LinearBaseline

ELEMENTS = [Element.from_Z(number) for number in range(1, 93)]
TABLE = torch.tensor(
    [[0, 0]] + [[each.Z / 100, each.atomic_radius or 0] for each in ELEMENTS],
    dtype=torch.float64,
)


def batch_of(graphs):
    dataset = PackedDataset(graphs)
    batch, _ = dataset[torch.arange(len(graphs))]
    return batch


@pytest.fixture
def baseline():
    made = LinearBaseline(TABLE, i_electronegativity=1, n_outputs=2).double()
    made.table = TABLE  # not rounded to single precision, as it was when made
    rng = torch.Generator().manual_seed(0)
    made.set_coefficients(
        torch.randn(2, 5, generator=rng, dtype=torch.float64),
        torch.randn(2, generator=rng, dtype=torch.float64),
    )
    return made


def by_hand(graphs):
    """The equation, one crystal, one site and one edge at a time."""
    table, rows = TABLE.numpy(), []
    for crystal in graphs:
        sites = []
        for site in range(crystal.n_sites):
            edges = slice(*crystal.edge_offsets[[site, site + 1]])
            own = table[crystal.atomic_numbers[site]]
            logs = np.repeat(
                np.log(crystal.distances[edges]), crystal.edge_weights[edges]
            )
            others = table[crystal.atomic_numbers[crystal.neighbors[edges]], 1]
            squares = np.repeat((own[1] - others) ** 2, crystal.edge_weights[edges])
            sites.append([*own, logs.mean(), logs.var(), squares.mean()])
        rows.append(np.average(sites, axis=0, weights=crystal.multiplicity))
    return np.array(rows)


def test_predictions_follow_the_equation(baseline, graphs):
    batch = batch_of(graphs[:10])
    expected = by_hand(graphs[:10]) @ baseline.weight.numpy().T + baseline.bias.numpy()
    np.testing.assert_allclose(baseline(batch), expected, rtol=1e-9)
    values = baseline.site_values(batch)
    torch.testing.assert_close(batch.mean_over_sites(values), baseline(batch))


def test_equivalent_sites_may_be_merged(baseline, ionic):
    merged, plain = (
        CrystalGraphFeaturizer(merge_equivalent=is_merged).transform(ionic.data)
        for is_merged in (True, False)
    )
    assert plain.n_edges > 2 * merged.n_edges
    # The lengths differ by less than the tolerance of merging, 1e-4 Å.
    torch.testing.assert_close(
        baseline(batch_of(merged)), baseline(batch_of(plain)), rtol=0, atol=1e-4
    )


def test_a_site_without_edges_has_no_lengths(baseline):
    argon = Structure(Lattice.cubic(20), ["Ar"], [[0, 0, 0]])
    featurizer = CrystalGraphFeaturizer(cutoff=4.0, isolated_sites="keep")
    alone = batch_of(featurizer.transform([argon]))
    properties = baseline.table[[18]] @ baseline.weight[:, :2].T
    torch.testing.assert_close(baseline(alone), properties + baseline.bias)
