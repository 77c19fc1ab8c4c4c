import pytest

from sklearn_cgcnn.datasets._cif._syntax import CIFError, parse_blocks


def items_of(text):
    """Return names, values and faults of the items of the only data block."""
    outside, block = parse_blocks(text)
    assert not outside.items
    return [(item.names, item.values, item.faults) for item in block.items]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("data_a\n_x 1\ndata_b", ["a", "b"]),
        ("  DATA_a _x 1 Data_b", ["a", "b"]),
        ("# data_no\ndata_a", ["a"]),
        ("_x 1 # data_no\ndata_a", ["a"]),
        ("data_a\n_x\n;\ndata_no\n;\n", ["a"]),
        ("data_a\n_x\n; text\ndata_no\n;data_b", ["a", "b"]),
        ("data_a\n_x 'data_no'\n_y \"data_no\"", ["a"]),
        ("data_a\n_x my_data_no", ["a"]),
        ("data_a\n_x 1 ;data_no\n", ["a"]),
        ("data_", [""]),
        ("no data", []),
    ],
)
def test_blocks_begin_where_the_syntax_says(text, names):
    assert [block.name for block in parse_blocks(text)[1:]] == names


def test_items_and_loops():
    text = "data_a _x 1 loop_ _y _z 1 2 'a b' \"c'd\" _t\n;first\n second\n;\n"
    assert items_of(text) == [
        (["_x"], ["1"], []),
        (["_y", "_z"], ["1", "2", "a b", "c'd"], []),
        (["_t"], ["first\n second"], []),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'O'Neill'", "O'Neill"),
        ("'a \"b\" c'", 'a "b" c'),
        ("'_x'", "_x"),
        ("'loop_'", "loop_"),
        ("'#1'", "#1"),
        ("C#1", "C#1"),
        ("5'", "5'"),
        ("''", ""),
        ("a\N{NO-BREAK SPACE}b", "a\N{NO-BREAK SPACE}b"),
    ],
)
def test_values(value, expected):
    assert items_of(f"data_a _x {value} # 'comment'\n") == [(["_x"], [expected], [])]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "_x 1 2",
            "_x in line 2 has 2 values for 1 data names, the last of which is '2'",
        ),
        ("_x\n_y 1", "_x in line 2 has 0 values for 1 data names"),
        ("loop_ _x _y 1 2 3", "the loop of _x, _y in line 2 has 3 values for 2"),
        ("loop_ 1", "the loop of no data name in line 2 has 1 values for 0"),
        ("stray", "no data name in line 2 has 1 values for 0 data names"),
        ("_x 'open", 'the quoted text in line 2 does not end there: "\'open"'),
    ],
)
def test_faults_belong_to_their_item(text, fault):
    faults = [faults for *_, faults in items_of(f"data_a\n{text}\n_fine 1")]
    assert faults[0][0].startswith(fault)
    assert faults[-1] == []


def test_text_before_the_first_block():
    outside, block = parse_blocks("_x 1\ndata_a\n_y 2")
    assert [item.names for item in outside.items] == [["_x"]]
    assert [item.names for item in block.items] == [["_y"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_a\n_x\n; text\n", "the text field in line 3 does not end"),
        (";text", "the text field in line 1 does not end"),
        ("data_a\nsave_frame\n", "line 2 has the word 'save_frame'"),
        ("data_a\nglobal_\n", "line 2 has the word 'global_'"),
    ],
)
def test_files_that_cannot_be_split(text, message):
    with pytest.raises(CIFError, match=message):
        parse_blocks(text)


def test_names_depend_on_neither_case_nor_dots():
    block = parse_blocks("data_a loop_ _Atom_Site.LABEL _atom_site_x_ O1 1 O2 2")[1]
    assert block.names() == ["_atom_site_label", "_atom_site_x"]
    assert block.column("_atom_site_label") == ["O1", "O2"]
    assert block.column("_atom_site_x") == ["1", "2"]
    assert block.column("_atom_site_y") is None


def test_items_with_faults_have_no_values():
    block = parse_blocks("data_a _x 1 2 _y 3 _z ? _t .")[1]
    assert (block.column("_x"), block.column("_y")) == (None, ["3"])
    assert (block.value("_y"), block.value("_z"), block.value("_t")) == (
        "3",
        None,
        None,
    )
