"""Foreign files: damage is detected, and nothing that they contain is executed."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import torch

from helpers import flip_bit
from sklearn_cgcnn.checkpoints import load_original_checkpoint
from sklearn_cgcnn.exceptions import CheckpointFormatError


def test_a_file_without_a_dictionary_is_refused(save, atom_init):
    path = save([1, 2])
    with pytest.raises(CheckpointFormatError, match="an object of type list") as caught:
        load_original_checkpoint(path, atom_init)
    assert str(path) in str(caught.value)


# Code in files


class Call:
    """Is pickled as a function call that must never be executed."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "place", ["epoch", "args__lr", "optimizer__state", "best_mae_error", "extra"]
)
def test_a_planted_call_is_refused_and_not_executed(
    tmp_path, save, make_checkpoint, atom_init, place, zipped
):
    evidence = tmp_path / "evidence"
    path = save(make_checkpoint(**{place: Call(evidence)}), zipped)
    with pytest.raises(
        CheckpointFormatError, match="is damaged, or contains objects other than"
    ):
        load_original_checkpoint(path, atom_init)
    assert not evidence.exists()
    torch.load(path, weights_only=False)
    assert evidence.exists()  # the file did contain the call


def test_a_bare_pickle_is_refused_and_not_executed(tmp_path, atom_init):
    evidence, path = tmp_path / "evidence", tmp_path / "hostile.pth.tar"
    path.write_bytes(pickle.dumps(Call(evidence)))
    with pytest.raises(CheckpointFormatError):
        load_original_checkpoint(path, atom_init)
    assert not evidence.exists()


def test_what_a_user_allows_torch_to_load_is_neither_used_nor_changed(
    tmp_path, save, make_checkpoint, atom_init
):
    torch.serialization.add_safe_globals([np.dtype, Call])
    try:
        allowed = torch.serialization.get_safe_globals()
        load_original_checkpoint(save(make_checkpoint()), atom_init)
        assert set(torch.serialization.get_safe_globals()) == set(allowed)
        evidence = tmp_path / "evidence"
        path = save(make_checkpoint(epoch=Call(evidence)))
        with pytest.raises(CheckpointFormatError):
            load_original_checkpoint(path, atom_init)
        assert not evidence.exists()
    finally:
        torch.serialization.clear_safe_globals()


# Files that would exhaust memory or the stack


def nested_tuples(depth):
    """A pickle of a dictionary whose key is a tuple in a tuple in a tuple ..."""
    return b"\x80\x02})" + depth * b"\x85" + b"K\x01s."


@pytest.mark.parametrize(
    "pickled",
    [
        nested_tuples(10**6),
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93K\x09\x85R.",
    ],
    ids=["deep", "large", "by STACK_GLOBAL"],
)
def test_pickles_that_would_exhaust_memory_or_the_stack(
    save, make_checkpoint, atom_init, pickled
):
    path = save(make_checkpoint())
    entries = read_zip(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, pickled if name.endswith(".pkl") else data)
    with pytest.raises(CheckpointFormatError, match="is damaged"):
        load_original_checkpoint(path, atom_init)


def test_compressed_files_are_refused(save, make_checkpoint, atom_init):
    path = save(make_checkpoint())
    entries = read_zip(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointFormatError, match="is compressed"):
        load_original_checkpoint(path, atom_init)


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        return {each.filename: archive.read(each) for each in archive.infolist()}


# Damage


def flip_any_bit(content, rng):
    return flip_bit(content, rng.integers(len(content)), rng.integers(8))


def assert_all_refused(path, contents, atom_init):
    for number, content in enumerate(contents):
        path.write_bytes(content)
        try:
            load_original_checkpoint(path, atom_init)
        except CheckpointFormatError:
            continue
        pytest.fail(f"damage number {number} was not detected")


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_refused(save, make_checkpoint, atom_init, zipped):
    path = save(make_checkpoint(), zipped)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    ends = [0, 1, *rng.integers(2, len(content), 98)]
    assert_all_refused(path, [content[:end] for end in ends], atom_init)


def test_a_flipped_bit_in_an_entry_of_a_zip_file_is_detected(
    save, make_checkpoint, atom_init
):
    path = save(make_checkpoint())
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        places = [
            (each.header_offset + 30 + len(each.filename) + 64, each.file_size)
            for each in archive.infolist()
            if each.file_size > 200
        ]
    content = path.read_bytes()
    contents = []
    for start, size in places * (200 // len(places) + 1):
        place = start + rng.integers(size - 100)
        contents.append(flip_bit(content, place, rng.integers(8)))
    assert_all_refused(path, contents[:200], atom_init)


def test_a_flipped_bit_anywhere_in_a_zip_file_is_detected_or_has_no_effect(
    save, make_checkpoint, atom_init, loaded, crystals
):
    path = save(make_checkpoint())
    content, rng = path.read_bytes(), np.random.default_rng(0)
    expected, n_refused = loaded.predict(crystals), 0
    # Most of them in the directory at the end, where a zip file describes its entries.
    places = [*rng.integers(len(content), size=100), *-rng.integers(1, 4000, size=300)]
    for place in places:
        path.write_bytes(flip_bit(content, place, rng.integers(8)))
        try:
            model = load_original_checkpoint(path, atom_init)
        except CheckpointFormatError:
            n_refused += 1
            continue
        np.testing.assert_array_equal(model.predict(crystals), expected)
    assert n_refused > 100


def test_a_flipped_bit_in_a_file_without_checksums_does_no_harm(
    save, make_checkpoint, atom_init
):
    """A changed weight cannot be detected, but no other error may occur."""
    path = save(make_checkpoint(), zipped=False)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    n_refused = 0
    for _ in range(200):
        path.write_bytes(flip_any_bit(content, rng))
        try:
            load_original_checkpoint(path, atom_init)
        except CheckpointFormatError:
            n_refused += 1
    assert n_refused > 20


# Published files


def test_a_flipped_bit_in_a_published_file_is_detected(
    tmp_path, original_folder, atom_init
):
    rng = np.random.default_rng(0)
    paths = sorted((original_folder / "pre-trained").glob("*.pth.tar"))
    assert len(paths) >= 4
    for path in paths:
        content = path.read_bytes()
        contents = [flip_any_bit(content, rng) for _ in range(50)]
        assert_all_refused(tmp_path / "damaged.pth.tar", contents, atom_init)


def test_a_damaged_published_file_that_resembles_a_zip_file_is_refused(
    tmp_path, original_folder, atom_init
):
    content = (original_folder / "pre-trained" / "bulk-moduli.pth.tar").read_bytes()
    damaged = flip_bit(content, len(content) // 2)
    contents = [content + b"PK\x05\x06" + bytes(18), damaged + bytes(18)]
    assert_all_refused(tmp_path / "damaged.pth.tar", contents, atom_init)
