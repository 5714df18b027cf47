"""How many frames published tables rest on, from the lengths of sequences alone.

Counts are those of `shared/protocols.md` (section 2) and `shared/reference/g2vlm_facts.md` (2.3),
found in the peers' frame lists. Lengths are the data sets' own.
"""

from __future__ import annotations

import pytest

from g2vlm_bench.data.catalogue import find_entry
from g2vlm_bench.data.frames import Sampling

# 18 test sequences; the two of stairs have 500 frames.
SEVEN_SCENES = [1000] * 16 + [500] * 2
# DSLR images of the training scenes: courtyard, delivery_area, electro, facade, kicker, meadow,
# office, pipes, playground, relief, relief_2, terrace, terrains.
ETH3D = [38, 44, 45, 76, 31, 15, 26, 14, 38, 31, 31, 23, 42]
# alley_2, ambush_4/5/6, cave_2/4, market_2/5/6, shaman_3, sleeping_1/2, temple_2/3.
SINTEL = [50, 33, 50, 20, 50, 50, 50, 50, 40, 50, 50, 50, 50, 50]
# breakfast_room, complete_kitchen, green_room, grey_white_room, kitchen, morning_apartment,
# staircase, thin_geometry, whiteroom: the paper's supplement, as remembered; the two published
# totals below (26 and 114) bear them out.
NRGBD = [1167, 1210, 1442, 1493, 1517, 920, 1149, 395, 1676]


def frames(lengths: list[int], **rule: int | None) -> list[int]:
    """Count the frames taken of each sequence as one sample."""
    chosen = Sampling(**{"views": 0} | rule).choose(lengths)  # type: ignore[arg-type]
    return [len(sample) for samples in chosen for sample in samples]


def test_7scenes() -> None:
    sparse, dense = frames(SEVEN_SCENES, every=200), frames(SEVEN_SCENES, every=40)
    assert (len(sparse), sum(sparse), min(sparse), max(sparse)) == (18, 86, 3, 5)
    assert (len(dense), sum(dense), min(dense), max(dense)) == (18, 426, 13, 25)
    assert sum(SEVEN_SCENES) == 17_000


def test_nrgbd() -> None:
    sparse = frames(NRGBD, every=500)
    assert sum(sparse) == 26
    assert min(sparse) == 1  # Pi3's: a reconstruction of one image
    assert sum(frames(NRGBD, every=100)) == 114
    # CUT3R's min(500, N // 2) gives every room at least two.
    cut3r = Sampling(every=500, spread=2, views=0).choose(NRGBD)
    by_hand = [[list(range(0, n, min(500, n // 2)))] for n in NRGBD]
    assert cut3r == by_hand
    assert min(len(samples) for (samples,) in cut3r) == 2


def test_eth3d() -> None:
    assert sum(ETH3D) == 454  # Marigold's
    taken = frames(ETH3D, every=5)
    assert (sum(taken), min(taken), max(taken)) == (97, 3, 16)
    assert taken[3] == 16  # facade
    assert taken[5] == taken[7] == 3  # meadow, pipes


def test_sintel() -> None:
    assert (len(SINTEL), sum(SINTEL)) == (14, 643)
    assert len(Sampling().choose([sum(SINTEL)])[0]) == 643


@pytest.mark.parametrize("length", [268, 270, 1500])
def test_tum_dynamics_and_scannet(length: int) -> None:
    """`[::3][:90]`, as CUT3R writes it, is `[:270:3]`."""
    (samples,) = Sampling(stop=270, every=3, views=0).choose([length])
    assert samples == [list(range(length))[::3][:90]]
    assert len(samples[0]) == 90


def test_bonn_and_kitti_video() -> None:
    (samples,) = Sampling(start=30, stop=140, views=0).choose([438])
    assert samples == [list(range(30, 140))]
    assert frames([438] * 5, start=30, stop=140) == [110] * 5
    # Drives shorter than 110 frames count whole.
    assert frames([77, 110, 400], stop=110) == [77, 110, 110]


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("bonn", [438] * 5),
        ("co3dv2_pose", [202] * 2506),
        ("da3bench_dtu", [49] * 22),
        ("da3bench_dtu64", [64] * 13),
        ("dtu_spann3r", [49] * 22),
        # Less the scenes and images that the benchmark leaves out.
        ("da3bench_eth3d", [38, 44 - 4, 45 - 6, 76, 31, 26, 14, 38 - 6, 31 - 12, 31 - 11, 42]),
        ("da3bench_7scenes", [1000] * 6 + [500]),
        ("eth3d_undistorted", ETH3D),
        ("nrgbd", NRGBD),
        ("seven_scenes", SEVEN_SCENES),
        ("tum_dynamics", [700] * 8),
    ],
)
def test_the_catalogue_takes_what_it_says(name: str, lengths: list[int]) -> None:
    entry = find_entry(name)
    taken = frames(lengths, **entry.options["sampling"])
    assert (len(taken), sum(taken)) == (entry.counts["test"], entry.counts["frames"])


def test_counts_of_the_catalogue_add_up() -> None:
    diode, kitti, nyu = (find_entry(name).counts for name in ("diode", "kitti_eigen", "nyu_mat"))
    assert diode["test"] == diode["indoors"] + diode["outdoor"]
    assert kitti["test"] == kitti["listed"] - 45  # those without annotated depth
    assert nyu["test"] + nyu["train"] == nyu["labelled"]
    assert find_entry("eth3d").counts["test"] == sum(ETH3D)
    # Ten frames make 45 pairs.
    co3d, clips = find_entry("co3dv2_pose").counts, find_entry("realestate10k").counts
    assert co3d["pairs"] == 45 * co3d["test"]
    assert clips["pairs"] == 45 * clips["clips"]
    sintel = find_entry("sintel")
    assert (len(sintel.options["sequences"]), sintel.counts["test"]) == (len(SINTEL), sum(SINTEL))
