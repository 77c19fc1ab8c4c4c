"""On a GPU nothing waits within an epoch.

There need not be one to tell: tensors of torch's "meta" device, which have shapes and
no values, refuse whatever would have to read them, as a GPU would have to wait for it.
"""

import copy

import pytest
import torch
from skorch.callbacks import Callback

import helpers
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._ops import _inductor_backend
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn._training._packed import PackedDataset

PARTS = {
    **helpers.PARTS,
    "dropout": {"dropout": 0.1, "n_hidden_layers": 2},
    "no norm": {"norm": None, "optimizer": "sgd"},
    "constant rate": {"lr_schedule": "constant"},
}


@pytest.fixture(scope="module")
def graphs(ionic):
    return CrystalGraphFeaturizer().transform(ionic.data[:20])


def without_values(dataset):
    """Move what a GPU would hold to where nothing can be read."""
    moved = copy.copy(dataset)
    for name, value in vars(dataset).items():
        if isinstance(value, torch.Tensor) and name != "sizes":
            setattr(moved, name, value.to("meta"))
    return moved


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", [CGCNNRegressor, CGCNNClassifier])
@pytest.mark.parametrize("compiled", [False, True])
def test_no_step_reads_what_was_computed(
    ionic, graphs, kind, part, compiled, monkeypatch
):
    # What is compiled for a GPU does nothing else than what is written.
    monkeypatch.setattr(_inductor_backend, "_compiled", lambda function: function)
    is_regressor = kind is CGCNNRegressor
    y = (ionic.target if is_regressor else ionic.prototype)[:20]
    net = kind(max_epochs=1, random_state=0, **PARTS[part]).fit(graphs, y).net_
    targets = torch.zeros(20, 1) if is_regressor else torch.zeros(20).long()
    dataset = without_values(PackedDataset(graphs, targets))
    # A generator holds values on any device, and the fused step knows no such device.
    for module in net.module_.modules():
        if hasattr(module, "generator"):
            module.generator = None
    net.optimizer__fused = False
    net.module_.to("meta")
    net.criterion_.to("meta")
    net._initialize_optimizer()
    for batch in dataset.batches(torch.arange(20), [12, 8]):
        with compiled_loops(1 if compiled else None):
            step = net.train_step(batch)
            prediction = net.evaluation_step(batch)
        assert step["loss"].is_meta
        assert all(each.grad is not None for each in net.module_.parameters())
        assert prediction.is_meta
        assert prediction.shape == step["y_pred"].shape


@pytest.mark.parametrize(
    "read",
    [
        lambda values: values.sum().item(),
        lambda values: values.nonzero(),
        lambda values: values.tolist(),
        lambda values: bool(values.isfinite().all()),
        lambda values: torch.repeat_interleave(values.long()),
        lambda values: values[values > 0],
    ],
    ids=["item", "nonzero", "tolist", "bool", "repeat", "mask"],
)
def test_there_reading_is_an_error(read):
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.ones(3, device="meta"))


def test_an_interrupted_epoch_leaves_no_tensors_behind(graphs, ionic):
    class Interrupt(Callback):
        def on_batch_end(self, net, training, **kwargs):
            if len(net.history) == 2 and len(net.history[-1]["batches"]) == 3:
                raise KeyboardInterrupt

    model = CGCNNRegressor(batch_size=5, random_state=0, callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(graphs, ionic.target[:20])
    interrupted = model.net_.history[-1]["batches"]
    assert [type(row["train_loss"]) for row in interrupted] == [float] * 3


def test_losses_are_read_once_an_epoch(graphs, ionic, monkeypatch):
    reads = []
    to_list = torch.Tensor.tolist

    def counted(tensor):
        if tensor.is_floating_point():
            reads.append(tuple(tensor.shape))
        return to_list(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    model = CGCNNRegressor(max_epochs=3, batch_size=5, random_state=0)
    model.fit(graphs, ionic.target[:20])
    assert reads == [(4,)] * 3
    rows = model.net_.history[:, "batches"]
    assert all(isinstance(row["train_loss"], float) for each in rows for row in each)
