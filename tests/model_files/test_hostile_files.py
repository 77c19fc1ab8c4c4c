"""Model files that are damaged, or forged to do harm."""

import json

import numpy as np
import pytest

from helpers import flip_bit
from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.model_files import _files, load_model, save_model


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_noticed(stored, seed):
    """250 files with a flipped bit, and 250 cut off; 1,000 of each over all seeds."""
    whole = stored.read_bytes()
    rng = np.random.RandomState(seed)
    # Half of the flips hit the header, where they do most.
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(250):
        place = rng.randint(header if number % 2 else len(whole))
        stored.write_bytes(flip_bit(whole, place, rng.randint(8)))
        with pytest.raises(ModelFileError):
            load_model(stored)
        stored.write_bytes(whole[: rng.randint(len(whole))])
        with pytest.raises(ModelFileError):
            load_model(stored)


def forge(path, change):
    """Change the contents of a file, and give it a valid checksum."""
    contents, arrays = _files._read(path)
    change(contents, arrays)
    _files.write_container(path, contents, arrays)


def deep(depth):
    return json.loads("[" * depth + "]" * depth)


HOSTILE = {
    "another class": lambda c, a: c["model"].update({"$object": "os.system"}),
    "a class that is none": lambda c, a: c["model"].update({"$object": ["x"]}),
    "no class": lambda c, a: c.update(model={"state": {}}),
    "no model": lambda c, a: c.pop("model"),
    "text as model": lambda c, a: c.update(model="x"),
    "no state": lambda c, a: c["model"].pop("state"),
    "a state without parts": lambda c, a: c["model"].update(state={}),
    "an array that is not there": lambda c, a: a.pop(sorted(a)[0]),
    "deep": lambda c, a: c.update(model=deep(900)),
    "deep state": lambda c, a: c["model"]["state"].update(lr=deep(60)),
    "a tag of nothing": lambda c, a: c.update(model={"$module": "os"}),
    "an object before it is there": lambda c, a: c.update(model={"$same": 0}),
    "itself": lambda c, a: c["model"]["state"].update(featurizer={"$same": 0}),
    "a number below zero": lambda c, a: c["model"]["state"].update(lr={"$same": -1}),
    "an array twice": lambda c, a: c["model"]["state"].update(
        lr={"$array": "target_mean_", "scalar": False}
    ),
    "a long text": lambda c, a: c["model"]["state"].update(
        lr={"$text": [""] * 20_000 + ["x" * 20_000]}
    ),
    "a method": lambda c, a: c["model"]["state"].update(predict="x"),
    "a dunder": lambda c, a: c["model"]["state"].update(__class__="x"),
    "a folder": lambda c, a: c["model"]["state"].update(checkpoint_dir="/tmp/x"),
    "a number of an object": lambda c, a: c["model"]["state"].update(
        lr={"$same": 10**9}
    ),
    "an unknown part": lambda c, a: spec(c).update(conv={"$part": "__import__"}),
    "an unknown name": lambda c, a: spec(c).update(conv="../../etc/passwd"),
    "an unknown rule": lambda c, a: c["model"]["state"].update(
        featurizer={"$rule": {"rule": "os.system", "command": "true"}}
    ),
    "wide": lambda c, a: spec(c).update(n_site_channels=10**7),
    "deep network": lambda c, a: spec(c).update(n_conv_layers=10**9),
    "negative": lambda c, a: spec(c).update(n_site_channels=-1),
    "other type": lambda c, a: spec(c).update(n_outputs="3"),
    "list as version": lambda c, a: c.update(format_version=[1]),
}


def spec(contents):
    return contents["model"]["state"]["_network_spec"]["$dict"]


@pytest.mark.parametrize("name", HOSTILE)
def test_forged_files_are_refused(name, stored):
    forge(stored, HOSTILE[name])
    with pytest.raises(ModelFileError):
        load_model(stored)


def test_a_path_in_a_file_is_not_followed(stored, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"1": [1.0]}))
    forge(stored, lambda c, a: spec(c).update(site_features=str(secret)))
    with pytest.raises(ModelFileError):
        load_model(stored)


def test_huge_shapes_are_refused_before_memory_is_taken(stored):
    whole = stored.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    header[name]["shape"] = [2**40, 2**20]
    text = json.dumps(header).encode()
    stored.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
    with pytest.raises(ModelFileError):
        load_model(stored)
    stored.write_bytes((2**62).to_bytes(8, "little") + whole[8:])
    with pytest.raises(ModelFileError):
        load_model(stored)


@pytest.mark.parametrize("change", [{}, {"n_sites": "x"}, {"lattices": [1.0]}])
def test_damaged_references_are_refused(trained, ionic, path, change):
    save_model(trained, path, reference=ionic.data[:2])
    forge(path, lambda c, a: c.update(reference={"$dict": change}))
    load_model(path)
    with pytest.raises(ModelFileError, match="cannot be predicted"):
        load_model(path, check=True)
