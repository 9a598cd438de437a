"""The walk against the papers' formulation from its definition: pairs, paths, a dense matrix."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from wsss.affinity.walk import Transition, chebyshev_power, random_walk
from wsss.core.errors import UserError

RNG = np.random.default_rng(7)


def line_pixels(i, j):
    """Pixels of the bounding rectangle of i and j closer than 1 to the line through both."""
    a, b = np.array(i, float), np.array(j, float)
    along = (b - a) / np.linalg.norm(b - a)
    rows = range(min(i[0], j[0]), max(i[0], j[0]) + 1)
    columns = range(min(i[1], j[1]), max(i[1], j[1]) + 1)
    found = []
    for y in rows:
        for x in columns:
            to = np.array([y, x], float) - a
            away = to - along * (to @ along)
            if np.linalg.norm(away) < 1 - 1e-9:
                found.append((y, x))
    return found


def affinities(boundary, radius):
    h, w = boundary.shape
    a = np.eye(h * w)
    pixels = [(y, x) for y in range(h) for x in range(w)]
    for n, i in enumerate(pixels):
        for m, j in enumerate(pixels[:n]):
            if (i[0] - j[0]) ** 2 + (i[1] - j[1]) ** 2 < radius**2:
                a[n, m] = a[m, n] = 1 - max(boundary[p] for p in line_pixels(i, j))
    return a


def dense_walk(maps, boundary, beta, steps, radius):
    maps, boundary = maps.astype(np.float64), boundary.astype(np.float64)
    transition = affinities(boundary, radius) ** beta
    transition /= transition.sum(0, keepdims=True)
    start = (maps * (1 - boundary)).reshape(len(maps), -1)
    return (start @ np.linalg.matrix_power(transition, steps)).reshape(maps.shape)


def padded_walk(maps, boundary, beta, steps, radius):
    """The same on the grid that IRN pads with boundary 1, where each source has every direction."""
    k, h, w = maps.shape
    b = np.pad(boundary.astype(np.float64), ((0, radius), (radius, radius)), constant_values=1.0)
    height, width = b.shape
    a = np.eye(height * width)
    for y in range(height - (radius - 1)):
        for x in range(radius - 1, width - (radius - 1)):
            for dy in range(radius):
                for dx in range(-radius + 1, radius):
                    if dy * dy + dx * dx >= radius**2 or (dy == 0 and dx <= 0):
                        continue
                    value = 1 - max(b[p] for p in line_pixels((y, x), (y + dy, x + dx)))
                    n, m = y * width + x, (y + dy) * width + x + dx
                    a[n, m] = a[m, n] = value
    transition = a**beta
    transition /= transition.sum(0, keepdims=True)
    start = np.pad(maps, ((0, 0), (0, radius), (radius, radius))) * (1 - b)
    moved = start.reshape(k, -1) @ np.linalg.matrix_power(transition, steps)
    return moved.reshape(k, height, width)[:, :h, radius : radius + w]


def problem(h=9, w=12, k=3):
    boundary = RNG.random((h, w)) ** 2
    boundary[:, w // 2] = 0.9  # a wall with a gap
    boundary[h // 2, w // 2] = 0.1
    return RNG.random((k, h, w)) ** 3, boundary


def relative(got, want):
    return (abs(got.astype(np.float64) - want) / want).max()


@pytest.mark.parametrize(
    ("radius", "beta", "steps"),
    [(5, 10.0, 256), (5, 10.0, 37), (3, 10.0, 256), (2, 4.0, 100), (7, 1, 1), (4, 8.5, 3)],
)
def test_equals_the_dense_reference(radius, beta, steps):
    maps, boundary = problem()
    want = dense_walk(maps, boundary, beta, steps, radius)
    got = random_walk(
        maps.astype(np.float32), boundary.astype(np.float32), beta=beta, steps=steps, radius=radius
    )
    assert got.dtype == np.float32
    assert relative(got, want) <= 1e-5  # elementwise; float32 boundaries alone cost 1e-6
    exact = random_walk(maps, boundary, beta=beta, steps=steps, radius=radius)
    assert exact.dtype == np.float64
    assert relative(exact, want) <= 1e-8


def test_a_grid_without_padding_equals_irns_padded_one():
    maps, boundary = problem(6, 7)
    want = padded_walk(maps, boundary, 10, 256, 3)
    assert relative(random_walk(maps, boundary, radius=3), want) <= 1e-8


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (3, 2)])
def test_grids_smaller_than_the_radius(size):
    maps, boundary = RNG.random((2, *size)), RNG.random(size) * 0.8
    assert relative(random_walk(maps, boundary), dense_walk(maps, boundary, 10, 256, 5)) <= 1e-8


def test_torch_tensors_and_batches_give_the_same_numbers():
    first, second = problem(), problem()
    maps = torch.from_numpy(np.stack([first[0], second[0]])).float()
    boundary = torch.from_numpy(np.stack([first[1], second[1]])).float()
    together = random_walk(maps, boundary)
    assert isinstance(together, torch.Tensor) and together.dtype == torch.float32
    for i in range(2):
        assert torch.equal(together[i], random_walk(maps[i], boundary[i]))
        alone = random_walk(maps[i].numpy(), boundary[i].numpy())
        assert isinstance(alone, np.ndarray) and (together[i].numpy() == alone).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_numbers():
    maps, boundary = (torch.from_numpy(x).float() for x in problem(30, 40))
    on_cuda = random_walk(maps.cuda(), boundary.cuda())
    assert on_cuda.device.type == "cuda"
    torch.testing.assert_close(on_cuda.cpu(), random_walk(maps, boundary), rtol=1e-6, atol=0)


def test_series_equals_plain_steps_on_a_voc_sized_grid(monkeypatch):
    rng = np.random.default_rng(0)
    maps, boundary = rng.random((2, 94, 125)) ** 4, rng.random((94, 125))
    maps[:, :, 60:] = 0
    boundary[:, 62:64] = 0.99
    series = random_walk(maps, boundary)
    monkeypatch.setattr("wsss.affinity.walk.TOLERANCE", 0.0)  # then no term is dropped
    plain = random_walk(maps, boundary)
    assert abs(series - plain).max() <= 1e-9 * plain.max()
    visible = plain > 6e-8 * plain.max()  # in float16
    assert (plain < 1e-5 * plain.max()).any() and relative(series[visible], plain[visible]) <= 1e-4


def test_any_strides_and_read_only_arrays():
    maps, boundary = problem()
    want = random_walk(maps, boundary)
    maps.flags.writeable = False
    there = random_walk(maps[:, ::-1], boundary[::-1])
    np.testing.assert_allclose(there[:, ::-1], want, rtol=1e-9)


def test_no_steps_only_remove_the_boundary():
    maps, boundary = problem()
    np.testing.assert_allclose(random_walk(maps, boundary, steps=0), maps * (1 - boundary))


def test_public_names_are_no_modules():
    import wsss.affinity
    import wsss.affinity.train
    import wsss.affinity.walk_maps

    assert wsss.affinity.random_walk is random_walk
    names = wsss.affinity.__all__
    assert names and all(callable(getattr(wsss.affinity, name)) for name in names)


def test_no_maps():
    moved = random_walk(np.zeros((0, 4, 5), np.float32), np.zeros((4, 5), np.float32))
    assert moved.shape == (0, 4, 5)


def test_input_is_left_alone_and_negative_maps_stay_linear():
    maps, boundary = problem()
    before = maps.copy(), boundary.copy()
    moved = random_walk(maps, boundary)
    assert (maps == before[0]).all() and (boundary == before[1]).all()
    np.testing.assert_allclose(random_walk(-maps, boundary), -moved, rtol=1e-12)


def test_without_boundary_every_affinity_is_1_and_one_step_is_the_mean_over_the_disk():
    assert set(np.unique(affinities(np.zeros((5, 6)), 9))) == {1.0}
    maps = np.zeros((1, 11, 11))
    maps[0, 5, 5] = 1
    moved = random_walk(maps, np.zeros((11, 11)), steps=1)[0]
    assert moved[5, 5] == pytest.approx(1 / 69)  # 34 directions, both ways, and itself
    assert (moved > 0).sum() == 69
    np.testing.assert_allclose(moved, moved[::-1, ::-1].T)


def test_a_boundary_on_the_path_stops_the_walk():
    boundary = np.zeros((8, 10))
    boundary[:, 4:6] = 1
    maps = np.zeros((2, 8, 10))
    maps[0, :, :4] = 1
    maps[1, 2, 8] = 1
    moved = random_walk(maps, boundary)
    assert moved[0, :, :4].min() > 0 and moved[0, :, 4:].max() == 0
    assert moved[1, :, 6:].min() > 0 and moved[1, :, :6].max() == 0


def test_columns_of_the_transition_sum_to_1():
    _, boundary = problem()
    n = boundary.size
    transition = random_walk(np.eye(n).reshape(n, 9, 12), np.zeros((9, 12)), steps=1)
    np.testing.assert_allclose(transition.sum(0), 1)
    # With a boundary the start is multiplied by 1 − b: put it back.
    rows = random_walk(np.eye(n).reshape(n, 9, 12), boundary, steps=256).reshape(n, n)
    np.testing.assert_allclose((rows / (1 - boundary).reshape(n, 1)).sum(0), 1)


def test_transition_is_symmetric_in_the_sense_of_its_docstring():
    _, boundary = problem()
    step = Transition(torch.from_numpy(boundary)[None], 10.0, 5)
    n = boundary.size
    unit, total = torch.eye(n, dtype=torch.float64)[None], torch.zeros(1, n, n, dtype=torch.float64)
    step.adder(unit, total)(1)
    torch.testing.assert_close(total, total.mT, rtol=1e-12, atol=1e-15)
    assert torch.linalg.eigvalsh(total).abs().max() <= 1 + 1e-12


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 64, 255, 256, 1000])
def test_chebyshev_series_is_the_power(steps):
    x = np.linspace(-1, 1, 4001)
    series = np.polynomial.chebyshev.chebval(x, chebyshev_power(steps, 1e-10))
    assert abs(series - x**steps).max() <= 2e-10


def test_the_series_is_shorter_than_the_power():
    assert len(chebyshev_power(256, 1e-10)) - 1 == 102
    assert chebyshev_power(3, 1e-10) == pytest.approx([0, 0.75, 0, 0.25])


MAPS, BOUNDARY = np.ones((2, 4, 5)), np.full((4, 5), 0.5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((MAPS, np.ones((5, 4)) / 2), {}, r"maps \(2, 4, 5\) and boundary \(5, 4\): resize"),
        ((MAPS[0], BOUNDARY), {}, "expected"),
        ((MAPS, BOUNDARY[None]), {}, "expected"),
        ((np.ones((2, 1, 4, 5)), np.ones((3, 4, 5)) / 2), {}, "resize"),
        ((np.ones((2, 0, 5)), np.ones((0, 5))), {}, "expected"),
        ((MAPS, BOUNDARY + 0.6), {}, r"outside \[0, 1\]"),
        ((MAPS, BOUNDARY - 0.6), {}, r"outside \[0, 1\]"),
        ((MAPS, BOUNDARY * np.nan), {}, "NaN"),
        ((MAPS * np.nan, BOUNDARY), {}, "NaN"),
        ((MAPS * np.inf, BOUNDARY), {}, "infinite"),
        ((MAPS, BOUNDARY), {"beta": 0}, "beta is 0"),
        ((MAPS, BOUNDARY), {"beta": float("nan")}, "beta"),
        ((MAPS, BOUNDARY), {"steps": -1}, "steps is -1"),
        ((MAPS, BOUNDARY), {"radius": 1}, "radius is 1"),
    ],
)
def test_errors_are_one_line(arguments, options, message):
    with pytest.raises(UserError, match=message) as error:
        random_walk(*arguments, **options)
    assert "\n" not in str(error.value)


WITHOUT_BEARTYPE = """
import numpy as np, torch
from wsss.affinity import random_walk
from wsss.core.errors import UserError

maps, boundary = np.ones((2, 4, 5)), np.full((4, 5), 0.5)
for given, options in [
    ((maps, boundary), {"steps": 256.0}),
    ((maps, boundary), {"radius": 5.5}),
    ((maps, boundary), {"beta": "10"}),
    ((maps.tolist(), boundary), {}),
    ((maps, boundary.tolist()), {}),
]:
    try:
        random_walk(*given, **options)
    except UserError as error:
        print(error)
same = random_walk(maps, boundary, steps=np.int64(7), radius=np.int32(3), beta=np.float32(2))
assert (same == random_walk(maps, boundary, steps=7, radius=3, beta=2)).all()
mixed = random_walk(torch.from_numpy(maps), boundary, steps=7, radius=3, beta=2)
assert (mixed.numpy() == same).all()
"""


def test_other_types_are_one_line_without_a_type_checker():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BEARTYPE], capture_output=True, text=True, check=True
    )
    arrays = "give a NumPy array or a torch tensor"
    assert done.stdout.splitlines() == [
        "random walk: steps is 256.0; give a whole number",
        "random walk: radius is 5.5; give a whole number",
        "random walk: beta is '10'; give a number above 0",
        f"random walk: maps are of type list; {arrays}",
        f"random walk: boundary are of type list; {arrays}",
    ]


PEAK = """
import resource, sys, numpy as np, torch
from wsss.affinity import random_walk

torch.set_num_threads(1)
rng = np.random.default_rng(0)
maps, boundary = rng.random((3, 94, 125)), rng.random((94, 125))
random_walk(maps[:, :8, :8], boundary[:8, :8])  # what the libraries allocate once
unit = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
random_walk(maps, boundary, steps=256)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / 1e6)
"""


@pytest.mark.slow
def test_memory_is_that_of_a_few_grids_not_of_a_matrix():
    """The dense matrix of this grid alone would take 552 MB in float32."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=environment
    )
    assert 0 <= float(done.stdout) < 100
