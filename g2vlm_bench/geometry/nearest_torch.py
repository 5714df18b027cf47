"""Exact nearest neighbours on the device where the clouds are, without an N x M matrix.

Points are sorted by the cell of a grid they lie in. A query looks at the 27 cells around it, nine
runs of the sorted points, and is done when its best distance is no larger than the way to the rim
of those cells. What is left looks at cells three times as large, and what is left then, outliers
mostly, at every tile of points whose box is not too far. All of it is sorting, gathering and
reducing by torch in float64: the numbers are those of the CPU. Queries are sorted by cell as well,
so that threads side by side read the same points, and a query's candidates lie side by side, so
that they are reduced without atomic writes.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Pairs of query and candidate that are compared at once: some 2 GB of temporaries.
PAIRS = 1 << 24
# Queries whose cells are looked up at once: less than 2 GB of temporaries.
LOOKUPS = 1 << 22
# A query with more candidates than this in its cells is left to the tiles.
MOST_CANDIDATES = 1 << 12
# A cell with more points than this is searched for repeated ones.
CROWD = 64
CELLS_PER_AXIS = 1 << 20
SAMPLE_SIZE = 32
TILE = 64
SPREAD = (
    (32, 0x001F00000000FFFF),
    (16, 0x001F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
# Boxes are compared with distances that were rounded otherwise.
ROUNDING = 1 + 1e-12


def nearest(queries: Tensor, cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance to, and the index of, the nearest point of the cloud for each query.

    Args:
        queries: (M, 3) metres, of any floating dtype.
        cloud: (N, 3) metres, N >= 1, on the same device.

    Returns:
        (M,) float64 Euclidean distances and (M,) int64 indices, on that device; of points at the
        same distance any.

    Raises:
        ValueError: for other shapes, an empty cloud, or non-finite points.

    Source: Green 2010 ("Particle simulation using CUDA"), section on sorted uniform grids.
    """
    for name, points in (("queries", queries), ("cloud", cloud)):
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"{name}: expected shape (N, 3), got {tuple(points.shape)}")
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"{name}: expected finite coordinates, got others")
    if len(cloud) == 0:
        raise ValueError("cloud: expected at least 1 point, got 0")
    cloud = cloud.to(torch.float64)
    # Coordinates of UTM size have too few digits left when they are squared.
    centre = _sample(cloud, 1 << 12).median(dim=0).values
    points, asked = cloud - centre, queries.to(torch.float64) - centre
    if len(asked) == 0:
        return asked[:, 0], torch.empty(0, dtype=torch.int64, device=asked.device)
    grid, first = _Grid(points, _cell_size(asked, points)), None
    if grid.most_populous() > CROWD:
        points, first = _distinct(points)
        grid = _Grid(points, grid.size)
    order = grid.keys_of(asked).argsort()
    search = _Search(asked[order], points)
    search.in_grid(grid)
    if len(search.open):
        search.in_grid(_Grid(points, 3 * grid.size))
    search.in_tiles()
    index = search.index if first is None else first[search.index]
    distances, indices = torch.empty_like(search.squares), torch.empty_like(index)
    distances[order], indices[order] = search.squares.sqrt(), index
    return distances, indices


class _Search:
    """The best candidate of each query so far, and which queries may have a better one.

    Attributes:
        squares: (M,) squared distance to the best candidate.
        index: (M,) its index.
        open: (K,) the queries that are not proven.
    """

    def __init__(self, queries: Tensor, points: Tensor) -> None:
        self._queries, self._points = queries, points
        self.squares = torch.full_like(queries[:, 0], torch.inf)
        self.index = torch.zeros_like(queries[:, 0], dtype=torch.int64)
        self.open = torch.arange(len(queries), device=queries.device)

    def in_grid(self, grid: _Grid) -> None:
        """Compare each open query with the points of the 27 cells of this grid around it."""
        left = []
        for rows in torch.split(self.open, LOOKUPS):
            asked = self._queries[rows]
            starts, counts = grid.runs(asked)
            rim = grid.way_to_rim(asked)
            inside = (rim > 0) & (counts.sum(dim=1) <= MOST_CANDIDATES)
            counts *= inside[:, None]
            self._compare(rows, starts, counts, grid)
            left.append(rows[~(inside & (self.squares[rows] <= rim**2))])
        self.open = torch.cat(left)

    def in_tiles(self) -> None:
        """Compare each open query with all tiles of points that may hold a nearer one."""
        if not len(self.open):
            return
        tiles = _Tiles(self._points)
        step = max(1, PAIRS // len(tiles.low))
        for chunk in torch.split(self.open, step):
            asked = self._queries[chunk]
            gaps = torch.zeros_like(asked[:, :1] * tiles.low[:, 0])
            for axis in range(3):
                at = asked[:, axis, None]
                way = torch.maximum(tiles.low[:, axis] - at, at - tiles.high[:, axis])
                gaps += way.clamp(min=0) ** 2
            closest = gaps.argmin(dim=1, keepdim=True)
            self._compare(chunk, tiles.starts[closest], tiles.sizes[closest], tiles)
            near = gaps <= self.squares[chunk, None] * ROUNDING
            near.scatter_(1, closest, False)
            row, tile = near.nonzero(as_tuple=True)
            self._compare(chunk[row], tiles.starts[tile, None], tiles.sizes[tile, None], tiles)
        self.open = self.open[:0]

    def _compare(
        self, rows: Tensor, starts: Tensor, counts: Tensor, ordered: _Grid | _Tiles
    ) -> None:
        """Compare query `rows[i]` with `ordered.points[starts[i, j]:][:counts[i, j]]` for every j.

        A query may stand in several rows.
        """
        ends = torch.cat([counts.new_zeros(1), counts.sum(dim=1).cumsum(dim=0)])
        # No row has so many pairs that it could not share a part with others.
        bounds = torch.arange(PAIRS, int(ends[-1]) + PAIRS, PAIRS, device=ends.device)
        lasts = torch.searchsorted(ends, bounds, right=True) - 1
        begin = done = 0
        for end, pairs in zip(lasts.tolist(), ends[lasts].tolist(), strict=True):
            part = slice(begin, end)
            self._compare_all(rows[part], starts[part], counts[part], pairs - done, ordered)
            begin, done = end, pairs

    def _compare_all(
        self, rows: Tensor, starts: Tensor, counts: Tensor, pairs: int, ordered: _Grid | _Tiles
    ) -> None:
        # The number of pairs is given, because asking the device for it would wait for it.
        runs = counts.flatten()
        run = torch.repeat_interleave(runs, output_size=pairs)
        place = torch.arange(pairs, device=runs.device)
        place += (starts.flatten() - (runs.cumsum(dim=0) - runs))[run]
        row = run // counts.shape[1]
        squares = ((ordered.points[place] - self._queries[rows][row]) ** 2).sum(dim=1)
        best = _least_of_each(squares, counts.sum(dim=1))
        # Among equals the first place, whatever the order of the threads.
        places = torch.where(squares == best[row], place.to(torch.float64), torch.inf)
        place = _least_of_each(places, counts.sum(dim=1))
        found = best < torch.inf
        rows, best, place = rows[found], best[found], place[found].to(torch.int64)
        index = ordered.order[place]
        before = self.squares[rows]
        self.squares.scatter_reduce_(0, rows, best, "amin")
        after = self.squares[rows]
        self.index[rows[after < before]] = len(self._points)
        won = best == after
        self.index.scatter_reduce_(0, rows[won], index[won], "amin")


def _least_of_each(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the least of each run of values; inf for a run of none."""
    least: Tensor = torch.segment_reduce(
        values, "min", lengths=lengths, initial=torch.inf, unsafe=True
    )
    return least


class _Tiles:
    """Points in runs of `TILE` along a curve, and the box of each.

    Attributes:
        order: (N,) indices of the points along the curve.
        points: (N, 3) in this order.
        starts: (T,) the first place of each tile.
        sizes: (T,) how many points it has.
        low: (T, 3) the lower corner of its box.
        high: (T, 3) the upper corner.
    """

    def __init__(self, points: Tensor) -> None:
        self.order = _curve_order(points)
        self.points = points[self.order]
        self.starts = torch.arange(0, len(points), TILE, device=points.device)
        self.sizes = (len(points) - self.starts).clamp(max=TILE)
        # The last tile is filled up with its last point.
        places = torch.arange(len(self.starts) * TILE, device=points.device)
        tiles = self.points[places.clamp(max=len(points) - 1)].reshape(-1, TILE, 3)
        self.low, self.high = tiles.amin(dim=1), tiles.amax(dim=1)


class _Grid:
    """Points sorted by the cell they lie in.

    Attributes:
        size: of a cell, in metres.
        order: (N,) indices of the points, cell by cell; along z, cells follow each other.
        points: (N, 3) in this order.
    """

    def __init__(self, points: Tensor, size: float) -> None:
        self.size = size
        # A rim of empty cells, so that a query beside the cloud is inside the grid. Points beyond
        # the largest grid are put into its outermost cells, which no proof relies on.
        low = points.amin(dim=0).clamp(min=-CELLS_PER_AXIS / 2 * size) - 2 * size
        high = points.amax(dim=0).clamp(max=CELLS_PER_AXIS / 2 * size) + 2 * size
        self._low = low
        self._shape = ((high - low) / size).floor().to(torch.int64) + 1
        self._keys, self.order = self.keys_of(points).sort(stable=True)
        self.points = points[self.order]

    def keys_of(self, points: Tensor) -> Tensor:
        """Return the number of the cell that each point lies in; of the nearest cell outside."""
        return self._key(self._cell(points))

    def most_populous(self) -> int:
        """Return how many points the fullest cell holds."""
        _, population = torch.unique_consecutive(self._keys, return_counts=True)
        return int(population.amax())

    def runs(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the nine columns of three cells around each query start, and their sizes.

        Returns:
            (M, 9) each; columns around a query outside the grid mean nothing.
        """
        cell = self._cell(queries)
        steps = torch.arange(-1, 2, device=queries.device)
        across = torch.cartesian_prod(steps, steps, steps[:1])
        first = self._key(cell)[:, None] + self._key(across)
        starts = torch.searchsorted(self._keys, first)
        return starts, torch.searchsorted(self._keys, first + 3) - starts

    def way_to_rim(self, queries: Tensor) -> Tensor:
        """Return how far it is from each query to the rim of its 27 cells; -inf outside the grid.

        Returns:
            (M,) metres.
        """
        places = (queries - self._low) / self.size
        cell = places.floor()
        inside = ((cell >= 2) & (cell < self._shape - 2)).all(dim=1)
        way = 1 + torch.minimum(places - cell, cell + 1 - places).amin(dim=1)
        # Less a little, because the rounding of cells is not that of distances.
        return torch.where(inside, way * self.size * (1 - 1e-9), -torch.inf)

    def _cell(self, points: Tensor) -> Tensor:
        cell = ((points - self._low) / self.size).floor()
        last = (self._shape - 1).to(cell.dtype)
        return torch.minimum(cell.clamp(min=0), last).to(torch.int64)

    def _key(self, cell: Tensor) -> Tensor:
        return (cell[..., 0] * self._shape[1] + cell[..., 1]) * self._shape[2] + cell[..., 2]


def _distinct(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return each distinct point once, with the index of its first occurrence.

    Repeated points share a cell however small, and every query near would be compared with all.
    """
    distinct, which = torch.unique(points, dim=0, return_inverse=True)
    indices = torch.arange(len(points), device=points.device)
    first = torch.full_like(indices[: len(distinct)], len(points))
    return distinct, first.scatter_reduce(0, which, indices, "amin")


def _cell_size(queries: Tensor, points: Tensor) -> float:
    """Guess a size of cells that proves most queries and holds few points, from a sample."""
    spacing = _distances_of_some(points, points, apart=True)
    reach = _distances_of_some(queries, points)
    sizes = torch.stack([2 * spacing.median(), reach.quantile(0.9, interpolation="lower")])
    size = float(sizes[torch.isfinite(sizes)].amax())
    return size if size > 0 else 1.0


def _distances_of_some(queries: Tensor, points: Tensor, apart: bool = False) -> Tensor:
    """Return the distance to the nearest point, from some queries, by comparing with all.

    Args:
        queries: (M, 3).
        points: (N, 3).
        apart: leave out points at distance zero.
    """
    some, nearest_each = _sample(queries, SAMPLE_SIZE), []
    for part in torch.split(points, PAIRS >> 5):
        # By hand: torch.cdist gives every pair of points a block of threads of its own.
        squares = torch.zeros_like(some[:, :1] * part[:, 0])
        for axis in range(3):
            squares += (some[:, axis, None] - part[:, axis]) ** 2
        if apart:
            squares.masked_fill_(squares == 0, torch.inf)
        nearest_each.append(squares.amin(dim=1))
    return torch.stack(nearest_each).amin(dim=0).sqrt()


def _curve_order(points: Tensor) -> Tensor:
    """Return the order of points along a Morton curve, which keeps the tiles of it small."""
    sample = _sample(points, 1 << 12)
    low, high = sample.quantile(0.01, dim=0), sample.quantile(0.99, dim=0)
    scale = ((1 << 21) - 1) / (high - low).amax().clamp(min=1e-300)
    cells = ((points - low) * scale).clamp(0, (1 << 21) - 1).to(torch.int64)
    # Two zero bits between the bits of each axis, by halves, quarters, ...
    for shift, mask in SPREAD:
        cells = (cells | (cells << shift)) & mask
    return (cells[:, 0] | (cells[:, 1] << 1) | (cells[:, 2] << 2)).argsort()


def _sample(points: Tensor, size: int) -> Tensor:
    return points[:: 1 + len(points) // size]
