"""Exact nearest neighbours on the device where the clouds are, without an N x M matrix.

Points are sorted by the cell of a grid they lie in. A query looks at the 27 cells around it, nine
runs of the sorted points, and is done when its best distance is no larger than the way to the rim
of those cells. What is left looks at cells three times as large, and what is left then, outliers
mostly, at every tile of points whose box is not too far. All of it is sorting, searching and
scattering by torch in float64: the numbers are those of the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Pairs of query and candidate that are compared at once: some 2 GB of temporaries.
PAIRS = 1 << 24
# A query with more candidates than this in its cells is left to the tiles.
MOST_CANDIDATES = 1 << 12
# A cell with more points than this is searched for repeated ones.
CROWD = 64
CELLS_PER_AXIS = 1 << 20
SAMPLE_SIZE = 32
TILE = 64
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
    size = _cell_size(asked, points)
    first = None
    if _Grid(points, size).most_populous() > CROWD:
        points, first = _distinct(points)
    search = _Search(asked, points)
    search.in_grid(size)
    search.in_grid(3 * size)
    search.in_tiles()
    index = search.index if first is None else first[search.index]
    return search.squares.sqrt(), index


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

    def in_grid(self, size: float) -> None:
        """Compare each open query with the points of the 27 cells of this size around it."""
        grid = _Grid(self._points, size)
        asked = self._queries[self.open]
        starts, counts = grid.runs(asked)
        rim = grid.way_to_rim(asked)
        inside = (rim > 0) & (counts.sum(dim=1) <= MOST_CANDIDATES)
        counts *= inside[:, None]
        self._compare(self.open, starts, counts, grid.order)
        proven = inside & (self.squares[self.open] <= rim**2)
        self.open = self.open[~proven]

    def in_tiles(self) -> None:
        """Compare each open query with all tiles of points that may hold a nearer one."""
        order = _curve_order(self._points)
        starts = torch.arange(0, len(order), TILE, device=order.device)
        sizes = (len(order) - starts).clamp(max=TILE)
        # The last tile is filled up with its last point.
        places = torch.arange(len(starts) * TILE, device=order.device).clamp(max=len(order) - 1)
        tiles = self._points[order[places]].reshape(-1, TILE, 3)
        low, high = tiles.amin(dim=1), tiles.amax(dim=1)
        step = max(1, PAIRS // len(low))
        for begin in range(0, len(self.open), step):
            chunk = self.open[begin : begin + step]
            asked = self._queries[chunk]
            gaps = torch.zeros(len(asked), len(low), dtype=low.dtype, device=low.device)
            for axis in range(3):
                at = asked[:, axis, None]
                gaps += torch.maximum(low[:, axis] - at, at - high[:, axis]).clamp(min=0) ** 2
            closest = gaps.argmin(dim=1, keepdim=True)
            self._compare(chunk, starts[closest], sizes[closest], order)
            near = gaps <= self.squares[chunk, None] * ROUNDING
            near.scatter_(1, closest, False)
            row, tile = near.nonzero(as_tuple=True)
            self._compare(chunk[row], starts[tile, None], sizes[tile, None], order)
        self.open = self.open[:0]

    def _compare(self, rows: Tensor, starts: Tensor, counts: Tensor, order: Tensor) -> None:
        """Compare query `rows[i]` with `order[starts[i, j]:][:counts[i, j]]` for every j.

        A query may stand in several rows.
        """
        ends = counts.sum(dim=1).cumsum(dim=0)
        total = int(ends[-1]) if len(ends) else 0
        # No row has so many pairs that it could not share a part with others.
        bounds = torch.arange(PAIRS, total + PAIRS, PAIRS, device=ends.device)
        begin = 0
        for end in torch.searchsorted(ends, bounds, right=True).tolist():
            part = slice(begin, end)
            self._compare_all(rows[part], starts[part], counts[part], order)
            begin = end

    def _compare_all(self, rows: Tensor, starts: Tensor, counts: Tensor, order: Tensor) -> None:
        runs = counts.flatten()
        run = torch.repeat_interleave(torch.arange(len(runs), device=runs.device), runs)
        place = torch.arange(len(run), device=run.device)
        place += (starts.flatten() - (runs.cumsum(dim=0) - runs))[run]
        candidate = order[place]
        query = rows[run // counts.shape[1]]
        squares = ((self._points[candidate] - self._queries[query]) ** 2).sum(dim=1)
        # Twice the smallest, of distances and then of indices among equals: any order of the
        # scattered writes gives the same result.
        before = self.squares.clone()
        self.squares.scatter_reduce_(0, query, squares, "amin")
        best = squares == self.squares[query]
        self.index[self.squares < before] = len(order)
        self.index.scatter_reduce_(0, query[best], candidate[best], "amin")


class _Grid:
    """Points sorted by the cell they lie in.

    Attributes:
        order: (N,) indices of the points, cell by cell; along z, cells follow each other.
    """

    def __init__(self, points: Tensor, size: float) -> None:
        self._size = size
        # A rim of empty cells, so that a query beside the cloud is inside the grid. Points beyond
        # the largest grid are put into its outermost cells, which no proof relies on.
        low = points.amin(dim=0).clamp(min=-CELLS_PER_AXIS / 2 * size) - 2 * size
        high = points.amax(dim=0).clamp(max=CELLS_PER_AXIS / 2 * size) + 2 * size
        self._low = low
        self._shape = ((high - low) / size).floor().to(torch.int64) + 1
        self._keys, self.order = self._key(self._cell(points)).sort()

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
        first = self._key(cell[:, None] + across)
        starts = torch.searchsorted(self._keys, first)
        ends = torch.searchsorted(self._keys, first + 3)
        return starts, ends - starts

    def way_to_rim(self, queries: Tensor) -> Tensor:
        """Return how far it is from each query to the rim of its 27 cells; -inf outside the grid.

        Returns:
            (M,) metres.
        """
        places = (queries - self._low) / self._size
        cell = places.floor()
        inside = ((cell >= 2) & (cell < self._shape - 2)).all(dim=1)
        way = 1 + torch.minimum(places - cell, cell + 1 - places).amin(dim=1)
        # Less a little, because the rounding of cells is not that of distances.
        return torch.where(inside, way * self._size * (1 - 1e-9), -torch.inf)

    def _cell(self, points: Tensor) -> Tensor:
        cell = ((points - self._low) / self._size).floor()
        return torch.minimum(cell.clamp(min=0), self._shape - 1.0).to(torch.int64)

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
    for begin in range(0, len(points), PAIRS >> 5):
        distances = torch.cdist(
            some,
            points[begin : begin + (PAIRS >> 5)],
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        if apart:
            distances.masked_fill_(distances == 0, torch.inf)
        nearest_each.append(distances.amin(dim=1))
    return torch.stack(nearest_each).amin(dim=0)


def _curve_order(points: Tensor) -> Tensor:
    """Return the order of points along a Morton curve, which keeps the tiles of it small."""
    sample = _sample(points, 1 << 12)
    low, high = sample.quantile(0.01, dim=0), sample.quantile(0.99, dim=0)
    scale = ((1 << 21) - 1) / (high - low).amax().clamp(min=1e-300)
    cells = ((points - low) * scale).clamp(0, (1 << 21) - 1).to(torch.int64)
    key = torch.zeros_like(cells[:, 0])
    for bit in range(21):
        for axis in range(3):
            key |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return key.argsort()


def _sample(points: Tensor, size: int) -> Tensor:
    return points[:: 1 + len(points) // size]
