"""Which frames are taken: the rules of published tables, on counts alone."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from g2vlm_bench.data.frames import Sampling, numbered
from g2vlm_bench.plugins import check_arguments


def test_scannet_takes_90_frames_of_270() -> None:
    ((frames,),) = Sampling(stop=270, every=3, views=0).choose([1500])
    assert frames == list(range(1500))[:270:3]
    assert len(frames) == 90


def test_dtu_takes_10_views_of_49_in_22_scans() -> None:
    chosen = Sampling(every=5, views=0).choose([49] * 22)
    assert [len(frames) for (frames,) in chosen] == [10] * 22


def test_random_frames_are_those_that_pi3_published() -> None:
    # Pi3 97ce97b, datasets/seq-id-maps: the first sequences of CO3Dv2 (202 frames each, as the
    # draws themselves tell) and of RealEstate10K (279, 237 and 229 frames).
    rule = Sampling(random=10, seed=42, least=50, views=0)
    co3d = [frames for (frames,) in rule.choose([202, 202, 202])]
    assert co3d == [
        [95, 15, 30, 159, 186, 115, 69, 172, 161, 45],
        [170, 55, 197, 33, 178, 54, 107, 108, 91, 86],
        [78, 98, 195, 181, 101, 158, 55, 124, 135, 59],
    ]
    re10k = [frames for (frames,) in rule.choose([279, 237, 229])]
    assert re10k == [
        [30, 126, 199, 142, 254, 237, 97, 206, 258, 144],
        [99, 6, 233, 223, 58, 185, 75, 104, 180, 122],
        [3, 202, 77, 65, 81, 220, 167, 194, 172, 50],
    ]


def test_no_more_frames_than_depth_anything_3_takes() -> None:
    """Its `_sample_frames`: seeded anew for each scene, shuffled, cut, sorted."""
    expected = []
    for count in (1000, 500, 101, 100, 38):
        random.seed(42)
        order = list(range(count))
        random.shuffle(order)
        expected.append([sorted(order[:100])])
    assert Sampling(most=100, views=0).choose([1000, 500, 101, 100, 38]) == expected
    assert [len(samples[0]) for samples in expected] == [100, 100, 100, 100, 38]
    assert Sampling(most=3, every=2).choose([4]) == [[[0], [2]]]


def test_scenes_that_are_left_out_draw_nothing() -> None:
    rule = Sampling(random=10, least=50, views=0)
    assert rule.choose([49, 202])[0] == []
    assert rule.choose([49, 202])[1] == rule.choose([202])[0]


@pytest.mark.parametrize(("sequences", "pairs"), [(2506, 112_770), (1719, 77_355)])
def test_ten_frames_a_sequence_make_the_published_number_of_pairs(sequences, pairs) -> None:
    chosen = Sampling(random=10, least=50, views=0).choose([60] * sequences)
    assert sum(math.comb(len(frames), 2) for samples in chosen for frames in samples) == pairs


def test_incomplete_and_impossible_samples_are_left_out() -> None:
    assert Sampling(views=3).choose([7, 2]) == [[[0, 1, 2], [3, 4, 5]], []]
    assert Sampling(random=5, views=0).choose([4]) == [[]]
    assert Sampling(start=9, views=0).choose([4]) == [[]]


def test_a_task_file_writes_the_rule_as_a_mapping() -> None:
    def reader(*, sampling: Sampling = Sampling()) -> None: ...  # noqa: B008

    made = check_arguments(reader, {"sampling": {"stop": 270, "every": 3, "views": 0}}, "task")
    assert made["sampling"] == Sampling(stop=270, every=3, views=0)
    for wrong in ({"evry": 3}, {"every": 0}, {"views": -1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Sampling)


def test_numbers_without_zeros_are_sorted_as_numbers(tmp_path) -> None:
    names = [tmp_path / f"{number}.jpg" for number in (10, 2, 1, 100)]
    assert [path.stem for path in numbered(names)] == ["1", "2", "10", "100"]
