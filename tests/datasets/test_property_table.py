import numpy as np
import pytest

from sklearn_cgcnn.datasets._property_table import as_target, read_table
from sklearn_cgcnn.exceptions import CIFDirectoryError


def target_of(*values):
    return as_target([[value] for value in values])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", "-2", "+3", "007"), np.array([1, -2, 3, 7])),
        (("1", "", "2.5"), np.array([1, np.nan, 2.5])),
        (("1", ""), np.array([1, np.nan])),
        (("", ""), np.array([np.nan, np.nan])),
        (("1e5", "-.5", "5.", "+1E-3"), np.array([1e5, -0.5, 5, 1e-3])),
        (("nan", "NaN", "1"), np.array([np.nan, np.nan, 1])),
        (("inf", "-Infinity"), np.array([np.inf, -np.inf])),
        (("9223372036854775808", "1"), np.array([2.0**63, 1])),
        (("1e400",), np.array([np.inf])),
    ],
)
def test_numbers(values, expected):
    target = target_of(*values)
    assert target.dtype == expected.dtype
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize(
    "value",
    [
        *("2_1", "6_3", "1_000", "1_0.5", "0x10", "1,5", "1d5", "1e", "e5", "1.2.3"),
        *("+", "1 000", "--1", "1/2", "True", "NA", "None", "metal", "infinite"),
        *("nan1", "\u0661", "\uff11", "\u0967.\u0968", "\u00b2", "1\u0660"),
        *("\u0131nf", "-\u0661"),
    ],
)
def test_labels(value):
    target = target_of(value, "1")
    assert target.dtype.kind == "U"
    assert target.tolist() == [value, "1"]


def test_several_properties():
    target = as_target([["1", "2.5"], ["", "3"]])
    np.testing.assert_array_equal(target, [[1, 2.5], [np.nan, 3]])
    assert as_target([["1", "6_3"], ["2", "2_1"]]).tolist() == [
        ["1", "6_3"],
        ["2", "2_1"],
    ]


def test_no_properties():
    assert as_target([[], []]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,1\nb,2\n", {"a": ["1"], "b": ["2"]}),
        ("b\na\n", {"b": [], "a": []}),
        ('\ufeffa, "1,5"\r\n\r\nb ,2\r', {"a": ["1,5"], "b": ["2"]}),
        ("a, 1 , 2\n", {"a": ["1", "2"]}),
    ],
)
def test_tables(tmp_path, text, expected):
    table = tmp_path / "id_prop.csv"
    table.write_text(text, encoding="utf-8", newline="")
    assert read_table(table) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write one line"),
        ("\n , \n", "is empty; write one line"),
        ("a,1\nb,1,2\n", r"has 2 properties in line 2 \('b'\), but 1 in line 1"),
        ("a,1\nb,2\n\na,3\n", "'a' in line 1 and again in line 4; delete"),
        ("../a,1\n", r"'../a' in line 1, but an id must be the name of a CIF"),
        (",1\n", "'' in line 1, but an id must be the name"),
        (
            "a,\xff".encode("latin-1"),
            "cannot be read .*; write it as a CSV file in UTF-8",
        ),
    ],
    ids=["empty", "blank", "ragged", "repeated", "path", "no id", "encoding"],
)
def test_invalid_tables(tmp_path, text, message):
    table = tmp_path / "id_prop.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CIFDirectoryError, match=message):
        read_table(table)
