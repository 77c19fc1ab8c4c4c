"""Checkpoints of the original program: read as claims, checked, and proved by numbers.

The numbers are those that the original program itself predicts, where its published
checkpoints are at hand, and everywhere those of a plain rendering of it, with padding.
"""

import copy
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch.nn.functional import softplus

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import TrainReadoutOnly
from sklearn_cgcnn.checkpoints import load_original_checkpoint
from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.exceptions import CheckpointFormatError

N_FEATURES, WIDTH, HIDDEN = 92, 16, 8
NAMES = [
    "band-gap",
    "bulk-moduli",
    "formation-energy-per-atom",
    "semi-metal-classification",
]


def make_atom_init():
    rng = np.random.default_rng(0)
    return {str(z): rng.integers(0, 2, N_FEATURES).tolist() for z in range(1, 101)}


def make_checkpoint(n_conv=2, n_h=1, classification=False):
    """What the original program would save, with random weights."""
    generator = torch.Generator().manual_seed(0)
    state = OrderedDict()

    def linear(name, n_in, n_out):
        for part, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            state[f"{name}.{part}"] = torch.randn(shape, generator=generator) / 4

    def norm(name, n):
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(n, generator=generator) / 2
        state[f"{name}.running_var"] = torch.rand(n, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    linear("embedding", N_FEATURES, WIDTH)
    for layer in range(n_conv):
        linear(f"convs.{layer}.fc_full", 2 * WIDTH + 41, 2 * WIDTH)
        norm(f"convs.{layer}.bn1", 2 * WIDTH)
        norm(f"convs.{layer}.bn2", WIDTH)
    linear("conv_to_fc", WIDTH, HIDDEN)
    for layer in range(n_h - 1):
        linear(f"fcs.{layer}", HIDDEN, HIDDEN)
    linear("fc_out", HIDDEN, 2 if classification else 1)
    return {
        "epoch": 7,
        "state_dict": state,
        "best_mae_error": torch.tensor(0.25),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.02, "params": [0, 1]}]},
        "normalizer": {"mean": torch.tensor(1.5), "std": torch.tensor(0.5)},
        "args": {
            "data_options": ["folder"],
            "task": "classification" if classification else "regression",
            "lr": 0.02,
            "epochs": 12,
            "batch_size": 32,
            "lr_milestones": [8],
            "weight_decay": 0.0,
            "optim": "SGD",
            "atom_fea_len": WIDTH,
            "h_fea_len": HIDDEN,
            "n_conv": n_conv,
            "n_h": n_h,
        },
    }


def save(checkpoint, path, zipped=True):
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    return path


def plain_prediction(checkpoint, atom_init, structure):
    """What the original program predicts for one crystal, site by site."""
    state = {k: v.double() for k, v in checkpoint["state_dict"].items()}

    def linear(name, rows):
        return rows @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, rows):
        shifted = rows - state[f"{name}.running_mean"]
        scaled = shifted / torch.sqrt(state[f"{name}.running_var"] + 1e-5)
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    edges = []
    for found in structure.get_all_neighbors(8.0):
        nearest = sorted(found, key=lambda each: each.nn_distance)[:12]
        of_site = [(each.index, each.nn_distance) for each in nearest]
        edges.append(of_site + [(0, 9.0)] * (12 - len(of_site)))
    centers = torch.arange(41).double() * 0.2
    v = torch.tensor([atom_init[str(each.specie.Z)] for each in structure]).double()
    v = linear("embedding", v)
    for layer in range(checkpoint["args"]["n_conv"]):
        name, rows = f"convs.{layer}", []
        for i, of_site in enumerate(edges):
            z = [
                torch.cat([v[i], v[j], torch.exp(-(((d - centers) / 0.2) ** 2))])
                for j, d in of_site
            ]
            z = norm(f"{name}.bn1", linear(f"{name}.fc_full", torch.stack(z)))
            gate, core = z.chunk(2, dim=1)
            rows.append((torch.sigmoid(gate) * softplus(core)).sum(dim=0))
        v = softplus(v + norm(f"{name}.bn2", torch.stack(rows)))
    crystal = softplus(linear("conv_to_fc", softplus(v.mean(dim=0))))
    for layer in range(checkpoint["args"]["n_h"] - 1):
        crystal = softplus(linear(f"fcs.{layer}", crystal))
    output = linear("fc_out", crystal)
    if checkpoint["args"]["task"] == "classification":
        return output.softmax(dim=0)[1].item()
    return (output * 0.5 + 1.5).item()


@pytest.fixture(scope="module")
def sparse(ionic, irregular):
    """Crystals of all kinds, some of which lack neighbors within 8 Å."""
    alone = Structure(Lattice.cubic(7.5), ["Xe"], [[0, 0, 0]])
    pair = Structure(Lattice.cubic(20.0), ["H", "H"], [[0, 0, 0], [0, 0, 0.04]])
    return [*ionic.data[:15], *irregular[:15], alone, pair]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("kind", "classification"), [(CGCNNRegressor, False), (CGCNNClassifier, True)]
)
@pytest.mark.parametrize("n_h", [1, 3])
def test_a_checkpoint_predicts_what_the_program_does(
    tmp_path, sparse, kind, classification, n_h, zipped
):
    checkpoint, table = make_checkpoint(2, n_h, classification), make_atom_init()
    path = save(checkpoint, tmp_path / "model_best.pth.tar", zipped)
    model = load_original_checkpoint(path, table)
    assert isinstance(model, kind)
    expected = [plain_prediction(checkpoint, table, each) for each in sparse]
    assert np.std(expected) > 0.01
    found = (
        model.predict_proba(sparse)[:, 1] if classification else model.predict(sparse)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def original(data_folder):
    return data_folder / "original"


@pytest.fixture(scope="module")
def folders(original):
    """The folders of the original's form, each read once."""
    names = ["sample-regression", "sample-classification", "mp150"]
    return {name: load_cif_directory(original / name) for name in names}


@pytest.mark.parametrize("crystals", ["sample", "mp150"])
@pytest.mark.parametrize("name", NAMES)
def test_published_checkpoints_predict_what_the_program_does(
    original, folders, name, crystals
):
    path = original / "pre-trained" / f"{name}.pth.tar"
    model = load_original_checkpoint(path, original / "mp150" / "atom_init.json")
    classification = name == "semi-metal-classification"
    folder = crystals
    if crystals == "sample":
        folder = f"sample-{'classification' if classification else 'regression'}"
    predicted = original / "predictions" / f"{name}.{crystals}.csv"
    expected = pd.read_csv(predicted, dtype={"id": str}).set_index("id")["prediction"]
    expected = expected[folders[folder].ids].to_numpy()
    X = folders[folder].data
    found = model.predict_proba(X)[:, 1] if classification else model.predict(X)
    difference = abs(found - expected)
    assert len(difference) == (150 if crystals == "mp150" else 10)
    assert np.median(difference) <= 1e-5
    assert difference.max() <= 1e-4  # without an exception


# As an estimator


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = save(make_checkpoint(), tmp_path_factory.mktemp("ck") / "a.pth.tar")
    return load_original_checkpoint(path, make_atom_init())


def test_parameters_are_those_of_the_training(loaded):
    assert loaded.n_conv_layers == 2
    assert (loaded.n_site_channels, loaded.n_hidden_channels) == (WIDTH, HIDDEN)
    assert (loaded.lr, loaded.max_epochs, loaded.batch_size) == (0.02, 12, 32)
    assert loaded.lr_schedule.keywords == {"milestones": [8]}
    assert loaded.n_iter_ == len(loaded.loss_curve_) == 7
    assert loaded.featurizer_.connectivity == "original"
    loaded._validate_params()


def test_it_pickles_and_ends_a_pipeline(loaded, sparse):
    expected = loaded.predict(sparse)
    twin = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(twin.predict(sparse), expected)
    pipeline = make_pipeline(loaded.featurizer_, twin)
    np.testing.assert_array_equal(pipeline.predict(sparse), expected)


def weights_of(model):
    state = model.net_.module_.state_dict()
    constant = "num_batches_tracked", "centers"
    return {k: v.clone() for k, v in state.items() if not k.endswith(constant)}


def fine_tuned(model, X, y, **params):
    return (
        copy.deepcopy(model)
        .set_params(
            warm_start=True,
            max_epochs=3,
            early_stopping=False,
            random_state=0,
            **params,
        )
        .fit(X, y)
    )


def test_all_layers_can_be_trained_on(loaded, sparse):
    y = np.linspace(0, 1, len(sparse))
    before, after = weights_of(loaded), weights_of(fine_tuned(loaded, sparse, y))
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_the_readout_can_be_trained_alone(loaded, sparse):
    y = np.linspace(0, 1, len(sparse))
    model = fine_tuned(loaded, sparse, y, callbacks=[TrainReadoutOnly()])
    before, after = weights_of(loaded), weights_of(model)
    for name in before:
        kept = torch.equal(before[name], after[name])
        assert kept != name.startswith("readout."), name
    # Nothing stays frozen.
    again = weights_of(model.set_params(callbacks=None).fit(sparse, y))
    assert all(not torch.equal(after[name], again[name]) for name in before)


def test_the_readout_alone_with_early_stopping(loaded, sparse):
    y = np.linspace(0, 1, len(sparse))
    model = copy.deepcopy(loaded).set_params(
        warm_start=True, max_epochs=3, callbacks=[TrainReadoutOnly()], random_state=0
    )
    before, after = weights_of(loaded), weights_of(model.fit(sparse, y))
    for name in before:
        assert name.startswith("readout.") or torch.equal(before[name], after[name])


def test_the_readout_alone_epoch_by_epoch(loaded, sparse):
    y, model = np.linspace(0, 1, len(sparse)), copy.deepcopy(loaded)
    model.set_params(early_stopping=False, callbacks=[TrainReadoutOnly()])
    before, after = weights_of(loaded), weights_of(model.partial_fit(sparse, y))
    for name in before:
        assert name.startswith("readout.") or torch.equal(before[name], after[name])
    again = weights_of(model.set_params(callbacks=None).partial_fit(sparse, y))
    assert all(not torch.equal(after[name], again[name]) for name in before)


class Fail(Callback):
    def on_train_begin(self, net, **kwargs):
        raise RuntimeError("no")


def test_what_was_frozen_thaws_when_a_start_fails(loaded, sparse):
    y, model = np.linspace(0, 1, len(sparse)), copy.deepcopy(loaded)
    params = {"warm_start": True, "early_stopping": False, "max_epochs": 1}
    with pytest.raises(RuntimeError, match="no"):
        model.set_params(callbacks=[TrainReadoutOnly(), Fail()], **params).fit(
            sparse, y
        )
    assert all(p.requires_grad for p in model.net_.module_.parameters())


def test_what_a_user_froze_stays_frozen(loaded, sparse):
    y, model = np.linspace(0, 1, len(sparse)), copy.deepcopy(loaded)
    model.net_.module_.embedding.requires_grad_(False)
    params = {"warm_start": True, "early_stopping": False, "max_epochs": 1}
    model.set_params(callbacks=[TrainReadoutOnly()], **params).fit(sparse, y)
    parameters = model.net_.module_.named_parameters()
    frozen = [name for name, each in parameters if not each.requires_grad]
    assert frozen == ["embedding.weight", "embedding.bias"]


def test_graphs_of_another_rule_are_refused(loaded, ionic):
    with pytest.raises(ValueError, match="'nearest' instead of 'original'"):
        loaded.predict(CrystalGraphFeaturizer().transform(ionic.data))


# Files that are none


def changed(**changes):
    """A checkpoint with entries replaced (None: left out), nested ones by a dot."""
    checkpoint = make_checkpoint()
    for key, value in changes.items():
        *outer, name = key.split("__")
        inner = checkpoint
        for each in outer:
            inner = inner[each]
        if value is None:
            del inner[name]
        else:
            inner[name] = value
    return checkpoint


BIAS = "fc_out.bias"
FOREIGN = {
    "a list": ([1, 2], "holds a list"),
    "a state dict": (make_checkpoint()["state_dict"], "no dictionary 'args'"),
    "no weights": (changed(state_dict=None), "no dictionary 'state_dict'"),
    "no normalizer": (changed(normalizer=None), "no dictionary 'normalizer'"),
    "no task": (changed(args__task=None), "'task'] is None"),
    "another task": (changed(args__task="ranking"), "'task'] is 'ranking'"),
    "no depth": (changed(args__n_conv=None), "'n_conv'] is None"),
    "negative depth": (changed(args__n_conv=-1), "'n_conv'] is -1"),
    "another depth": (changed(args__n_conv=3), "lacks 'convs.2.bn1.bias'"),
    "less depth": (changed(args__n_conv=1), r"has 'convs\.1\S*', of no"),
    "another width": (changed(args__h_fea_len=9), r"shape \(8, 16\), and args want"),
    "no bias": (changed(**{f"state_dict__{BIAS}": None}), f"lacks '{BIAS}'"),
    "a number": (changed(**{f"state_dict__{BIAS}": 3.0}), "no tensor of real"),
    "integers": (
        changed(**{f"state_dict__{BIAS}": torch.ones(1, dtype=torch.int64)}),
        "no tensor of real numbers",
    ),
    "not finite": (
        changed(**{f"state_dict__{BIAS}": torch.tensor([np.nan])}),
        "not finite",
    ),
    "negative variance": (
        changed(**{"state_dict__convs.0.bn2.running_var": -torch.ones(WIDTH)}),
        "negative variance",
    ),
    "no embedding": (
        changed(**{"state_dict__embedding.weight": torch.ones(3)}),
        "no matrix",
    ),
    "no mean": (changed(normalizer__mean=None), "'mean'] is None"),
    "no deviation": (changed(normalizer__std=torch.tensor(0.0)), "must be positive"),
    "infinite mean": (changed(normalizer__mean=np.inf), "no finite number"),
    "strange epoch": (changed(epoch=-1), "epoch is -1"),
    "another program's": (
        {"state_dict": {"layer": torch.ones(2)}, "epoch": 3},
        "no dictionary 'args'",
    ),
}


ONE = f"state_dict__{BIAS}"
STRANGE = {
    "a huge mean": changed(normalizer__mean=10**400),
    "a sparse mean": changed(normalizer__mean=torch.tensor([1.0]).to_sparse()),
    "a true mean": changed(normalizer__std=True),
    "a true epoch": changed(epoch=True),
    "tensors for an epoch": changed(epoch=torch.ones(2)),
    "a sparse bias": changed(**{ONE: torch.ones(1).to_sparse()}),
    "a bias elsewhere": changed(**{ONE: torch.ones(1, device="meta")}),
    "a bias of eighths": changed(**{ONE: torch.ones(1).to(torch.float8_e5m2)}),
    "an expanded weight": changed(
        **{"state_dict__fc_out.weight": torch.zeros(1).expand(1, HIDDEN)}
    ),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", STRANGE)
def test_strange_values(tmp_path, kind, zipped):
    path = tmp_path / "strange.pth.tar"
    try:
        save(STRANGE[kind], path, zipped)
    except (NotImplementedError, RuntimeError):
        pytest.skip("torch cannot write it so")
    with pytest.raises(CheckpointFormatError):
        load_original_checkpoint(path, make_atom_init())


@pytest.mark.parametrize(
    "args",
    [
        {"lr": 10**400, "epochs": np.inf, "batch_size": 0},
        {"lr": 0.0, "epochs": 0, "batch_size": 0.5, "weight_decay": -1.0},
        {"lr": np.inf, "epochs": True, "lr_milestones": ["x"], "optim": [1]},
    ],
    ids=["huge", "nothing", "strange"],
)
def test_arguments_that_train_nothing_are_left_out(tmp_path, sparse, args):
    checkpoint = make_checkpoint()
    checkpoint["args"] |= args
    path = save(checkpoint, tmp_path / "a.pth.tar")
    model = load_original_checkpoint(path, make_atom_init())
    model._validate_params()
    assert np.isfinite(model.predict(sparse)).all()
    defaults = CGCNNRegressor.from_preset("released")
    assert (model.lr, model.max_epochs) == (defaults.lr, defaults.max_epochs)


def test_the_momentum_of_the_training(tmp_path):
    path = save(changed(args__momentum=0.5), tmp_path / "a.pth.tar")
    model = load_original_checkpoint(path, make_atom_init())
    assert model.optimizer.keywords == {"momentum": 0.5}


def test_tensors_of_other_kinds(tmp_path, loaded, sparse):
    """Double or half precision, transposed, with a gradient: numbers are numbers."""
    checkpoint = make_checkpoint()
    state = checkpoint["state_dict"]
    state["embedding.bias"] = state["embedding.bias"].double()
    state["fc_out.weight"] = torch.nn.Parameter(state["fc_out.weight"])
    state["conv_to_fc.weight"] = state["conv_to_fc.weight"].T.contiguous().T
    path = save(checkpoint, tmp_path / "a.pth.tar")
    model = load_original_checkpoint(path, make_atom_init())
    np.testing.assert_array_equal(model.predict(sparse), loaded.predict(sparse))


def test_what_a_user_allows_torch_to_read_is_left_alone(tmp_path):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    torch.serialization.add_safe_globals([np.dtype, Call])
    try:
        allowed = torch.serialization.get_safe_globals()
        load_original_checkpoint(path, make_atom_init())
        assert set(torch.serialization.get_safe_globals()) == set(allowed)
        evidence = tmp_path / "evidence"
        save(changed(epoch=Call(evidence)), path)
        with pytest.raises(CheckpointFormatError):
            load_original_checkpoint(path, make_atom_init())
        assert not evidence.exists()
    finally:
        torch.serialization.clear_safe_globals()


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files(tmp_path, kind):
    content, message = FOREIGN[kind]
    path = save(content, tmp_path / "foreign.pth.tar")
    with pytest.raises(CheckpointFormatError, match=message) as caught:
        load_original_checkpoint(path, make_atom_init())
    assert str(path) in str(caught.value)


def test_other_features_than_the_model_s(tmp_path):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    with pytest.raises(CheckpointFormatError, match=r"92 features .* atom_init has 93"):
        load_original_checkpoint(path, "properties")
    with pytest.raises(FileNotFoundError):
        load_original_checkpoint(tmp_path / "missing.pth.tar", "properties")


class Call:
    """Pickles as a call of what must never be called."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "place", ["epoch", "args__lr", "optimizer__state", "best_mae_error", "extra"]
)
def test_a_planted_call_is_refused_and_not_made(tmp_path, place, zipped):
    evidence = tmp_path / "evidence"
    path = tmp_path / "hostile.pth.tar"
    save(changed(**{place: Call(evidence)}), path, zipped)
    with pytest.raises(CheckpointFormatError, match="damaged, or no checkpoint"):
        load_original_checkpoint(path, make_atom_init())
    assert not evidence.exists()
    torch.load(path, weights_only=False)
    assert evidence.exists()  # so the call was there to be made


def test_a_bare_pickle_is_refused_and_not_run(tmp_path):
    evidence = tmp_path / "evidence"
    path = tmp_path / "hostile.pth.tar"
    path.write_bytes(pickle.dumps(Call(evidence)))
    with pytest.raises(CheckpointFormatError):
        load_original_checkpoint(path, make_atom_init())
    assert not evidence.exists()


def flipped(content, rng):
    content = bytearray(content)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def assert_all_refused(path, contents):
    for number, content in enumerate(contents):
        path.write_bytes(content)
        try:
            load_original_checkpoint(path, make_atom_init())
        except CheckpointFormatError:
            continue
        pytest.fail(f"damage number {number} went unnoticed")


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files(tmp_path, zipped):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar", zipped)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    ends = [0, 1, *rng.integers(2, len(content), 98)]
    assert_all_refused(path, [content[:end] for end in ends])


def test_flipped_bits_of_what_a_zip_file_holds(tmp_path):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        places = [
            (each.header_offset + 30 + len(each.filename) + 64, each.file_size)
            for each in archive.infolist()
            if each.file_size > 200
        ]
    content = bytearray(path.read_bytes())
    damaged = []
    for start, size in places * (200 // len(places) + 1):
        copied = bytearray(content)
        copied[start + rng.integers(size - 100)] ^= 1 << rng.integers(8)
        damaged.append(bytes(copied))
    assert_all_refused(path, damaged[:200])


def test_flipped_bits_anywhere_in_a_zip_file(tmp_path, loaded, sparse):
    """They are noticed, or change nothing."""
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected, refused = loaded.predict(sparse), 0
    # Half of them in the directory at the end, with what a zip file says of itself.
    places = [*rng.integers(len(content), size=100), *-rng.integers(1, 4000, size=300)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            model = load_original_checkpoint(path, make_atom_init())
        except CheckpointFormatError:
            refused += 1
            continue
        np.testing.assert_array_equal(model.predict(sparse), expected)
    assert refused > 100


def nested(depth):
    """A pickle of a tuple in a tuple, as the key of a dictionary."""
    return b"\x80\x02})" + depth * b"\x85" + b"K\x01s."


@pytest.mark.parametrize(
    "pickled",
    [
        nested(10**6),
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93K\x09\x85R.",
    ],
    ids=["deep", "large", "by the stack"],
)
def test_pickles_that_would_take_all_memory_or_the_stack(tmp_path, pickled):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    with zipfile.ZipFile(path) as archive:
        entries = {each.filename: archive.read(each) for each in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, pickled if name.endswith(".pkl") else data)
    with pytest.raises(CheckpointFormatError, match="damaged"):
        load_original_checkpoint(path, make_atom_init())


def test_compressed_files(tmp_path):
    path = save(make_checkpoint(), tmp_path / "a.pth.tar")
    with zipfile.ZipFile(path) as archive:
        entries = {each.filename: archive.read(each) for each in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointFormatError, match="is compressed"):
        load_original_checkpoint(path, make_atom_init())


def test_a_published_file_in_disguise(tmp_path, original):
    content = (original / "pre-trained" / "bulk-moduli.pth.tar").read_bytes()
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    contents = [content + b"PK\x05\x06" + bytes(18), bytes(damaged) + bytes(18)]
    assert_all_refused(tmp_path / "a.pth.tar", contents)


def test_flipped_bits_of_published_files(tmp_path, original):
    rng = np.random.default_rng(0)
    for name in NAMES:
        content = (original / "pre-trained" / f"{name}.pth.tar").read_bytes()
        damaged = [flipped(content, rng) for _ in range(50)]
        assert_all_refused(tmp_path / "a.pth.tar", damaged)


def test_flipped_bits_of_other_files_do_no_harm(tmp_path):
    """Without sums a changed weight cannot be told, but nothing else may happen."""
    path = save(make_checkpoint(), tmp_path / "a.pth.tar", zipped=False)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        path.write_bytes(flipped(content, rng))
        try:
            load_original_checkpoint(path, make_atom_init())
        except CheckpointFormatError:
            refused += 1
    assert refused > 20
