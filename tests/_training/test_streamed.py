import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._training import PackedDataset, StreamedDataset, make_dataset
from sklearn_cgcnn._training._packed import BatchIterator, EdgeBoundedIterator
from sklearn_cgcnn.graphs import ShardedCrystalGraphs, _shard_folder
from sklearn_cgcnn.nn import CGCNN, GaussianBasis, SiteFeatures

N, SHARD_SIZE = 60, 5


@pytest.fixture(scope="module")
def stored(ionic, irregular, tmp_path_factory):
    return CrystalGraphFeaturizer().transform_to_disk(
        ionic.data[:30] + irregular[:30],
        tmp_path_factory.mktemp("stored") / "graphs",
        shard_size=SHARD_SIZE,
    )


@pytest.fixture(params=[1, 20_000, 10**9])
def streamed(stored, request):
    """With buffers for less than a batch, for several shards, and for all."""
    graphs = ShardedCrystalGraphs(stored.path, buffer_nbytes=request.param)
    return StreamedDataset(graphs, torch.arange(60.0)[:, None], torch.rand(60))


@pytest.fixture
def packed(stored, streamed):
    return PackedDataset(stored.to_memory(), streamed.targets, streamed.weights)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_same_batches(found, expected, dataset):
    for (ours, our_targets), (theirs, their_targets) in zip(
        found, expected, strict=True
    ):
        for name, value in vars(theirs).items():
            assert np.array_equal(getattr(ours, name), value), name
        assert our_targets.dataset is dataset
        for name in ("values", "weights", "rows"):
            assert torch.equal(getattr(our_targets, name), getattr(their_targets, name))
        np.testing.assert_array_equal(our_targets.y, their_targets.y)


@pytest.mark.parametrize("lengths", [[3, 1, 5, 31, 20], [60], [20, 20, 20]])
def test_batches_are_those_in_memory(streamed, packed, lengths):
    order = torch.randperm(60, generator=generator())
    network = CGCNN(SiteFeatures(torch.rand(100, 4)), GaussianBasis())
    for prepare in (None, network.attach_edge_features):
        found = streamed.batches(order, lengths, prepare)
        expected = packed.batches(order, lengths, prepare)
        assert_same_batches(found, expected, streamed)
    batch, targets = streamed[torch.tensor([7, 7, 3])]
    assert len(batch) == 3
    assert targets.rows.tolist() == [7, 7, 3]


def test_predictions_have_the_batches_of_memory(streamed, packed):
    found, expected = (EdgeBoundedIterator(x, 500) for x in (streamed, packed))
    assert len(found) == len(expected) > 3
    assert_same_batches(found, expected, streamed)
    assert (streamed.n_edges, len(streamed)) == (packed.n_edges, len(packed))


def test_an_epoch_has_every_crystal_once_in_another_order(streamed, packed):
    iterators = [BatchIterator(x, 7, True, generator()) for x in (streamed, packed)]
    epochs = [torch.cat([t.rows for _, t in iterators[0]]) for _ in range(2)]
    for rows in epochs:
        assert rows.sort().values.tolist() == list(range(60))
    assert not torch.equal(*epochs)
    if streamed.graphs.fits_into_buffer():
        expected = [torch.cat([t.rows for _, t in iterators[1]]) for _ in range(2)]
        assert all(map(torch.equal, epochs, expected))


def test_shuffling_mixes_the_shards_of_a_buffer(stored):
    graphs = ShardedCrystalGraphs(stored.path, buffer_nbytes=stored.nbytes // 3)
    dataset = StreamedDataset(graphs)
    shards = np.array([dataset.shuffle(generator(i)) for i in range(200)]) // SHARD_SIZE
    # Among the first 15 crystals are some of several shards, but not of all.
    n_shards = np.array([len(set(order[:15])) for order in shards])
    assert 2 <= n_shards.min()
    assert n_shards.max() < N // SHARD_SIZE
    # Each shard is a neighbor of each other one in some epoch.
    pairs = {pair for order in shards for pair in pairwise(order)}
    assert len(pairs) == (N // SHARD_SIZE) ** 2


def test_an_epoch_reads_every_shard_few_times(stored, monkeypatch):
    graphs = ShardedCrystalGraphs(stored.path, buffer_nbytes=stored.nbytes // 3)
    dataset, n_read, read = StreamedDataset(graphs), [], _shard_folder.read_shard
    monkeypatch.setattr(
        _shard_folder, "read_shard", lambda *args: n_read.append(args) or read(*args)
    )
    for shuffle, limit in ((False, 1.5), (True, 2.5)):
        n_read.clear()
        for _ in BatchIterator(dataset, 4, shuffle, generator()):
            pass
        assert len(n_read) <= limit * N // SHARD_SIZE


def test_the_container_decides_about_the_dataset(stored):
    assert type(make_dataset(stored)) is StreamedDataset
    assert type(make_dataset(stored.to_memory())) is PackedDataset


SCRIPT = """
import json, sys
import torch
from sklearn_cgcnn.graphs import CrystalGraphs, ShardedCrystalGraphs, _shard_writer
from sklearn_cgcnn.graphs._manifest import Manifest
from sklearn_cgcnn._training import StreamedDataset
from sklearn_cgcnn._training._packed import BatchIterator
from pathlib import Path

few = ShardedCrystalGraphs(sys.argv[1]).to_memory()
shard = CrystalGraphs.concatenate([few] * 60)
path = Path(sys.argv[2])
path.mkdir()
manifest = Manifest(few.settings, len(shard))
for _ in range(60):
    manifest = _shard_writer._add_shard(path, manifest, shard)

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

torch.set_num_threads(1)
graphs = ShardedCrystalGraphs(path, buffer_nbytes=4 * shard.nbytes)
dataset = StreamedDataset(graphs)
before = peak()
for shuffle in (True, False):
    batches = BatchIterator(dataset, 256, shuffle)
    n_edges = sum(batch.edge_index.shape[1] for batch, _ in batches)
print(json.dumps([n_edges, graphs.nbytes, peak() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_buffer(stored, tmp_path):
    command = [sys.executable, "-c", SCRIPT, stored.path, tmp_path / "many"]
    n_edges, nbytes, growth = json.loads(subprocess.check_output(command))
    assert n_edges == 3600 * stored.n_edges
    # A buffer has a fifteenth of all graphs. It is there as numpy arrays and as
    # tensors, and once more in parts while it is read.
    assert growth < nbytes / 3
