import json

import pytest

from sklearn_cgcnn.graphs import (
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
    describe_differences,
    graph_settings,
)

NEAREST = graph_settings(NearestNeighbors(), True)


def test_settings_are_plain_json():
    settings = graph_settings(VoronoiNeighbors(isolated_sites="keep"), False)
    assert settings == {
        "connectivity": {"rule": "voronoi", "cutoff": 6.0, "min_solid_angle": 0.05},
        "merge_equivalent": False,
    }
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("actual", "expected", "text"),
    [
        (NEAREST, NEAREST, ""),
        (
            graph_settings(NearestNeighbors(6, 4.0), True),
            NEAREST,
            "max_neighbors=6 instead of 12, cutoff=4.0 instead of None",
        ),
        (
            graph_settings(NearestNeighbors(), False),
            NEAREST,
            "merge_equivalent=False instead of True",
        ),
        (
            graph_settings(VoronoiNeighbors(), True),
            NEAREST,
            "connectivity='voronoi' instead of 'nearest', cutoff=6.0 instead of None",
        ),
        (
            graph_settings(OriginalNeighbors(), False),
            NEAREST,
            "connectivity='original' instead of 'nearest', merge_equivalent=False "
            "instead of True, cutoff=8.0 instead of None",
        ),
        ({}, NEAREST, "connectivity=(not set) instead of 'nearest'"),
        (NEAREST, {}, "connectivity='nearest' instead of (not set)"),
        (
            {"connectivity": {"rule": "mine.Rule", "shells": 2}},
            {"connectivity": {"rule": "mine.Rule", "reach": None}},
            "reach=(not set) instead of None, shells=2 instead of (not set)",
        ),
    ],
)
def test_every_difference_is_named_with_both_values(actual, expected, text):
    assert describe_differences(actual, expected) == text
