"""Euclidean distances between large sets, tile by tile: exact neighbours in bounded memory.

Tiles are float64 products |a|^2 + |b|^2 - 2 a.b of centred features. What such a product cannot tell
apart is known, ``slack`` = eps (d + 16) (|a|^2 + |b|^2); distances closer than that count as ties, so
duplicated points are at distance 0 and a decision does not depend on how the sets were cut into tiles.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ltbench.metrics.features import in_blocks

MEMORY = 256 * 2**20  # bytes that one tile and its inputs may take
_EPS = torch.finfo(torch.float64).eps


def tile_rows(d: int, memory: int = MEMORY) -> int:
    """Return the side s of square tiles: two (s, d) and four (s, s) float64 arrays fit in ``memory``."""
    s = 1
    while 8 * (2 * (2 * s) * d + 4 * (2 * s) ** 2) <= memory:
        s *= 2
    return s


def _rounding(d: int) -> float:
    """Return what rounding may change in a squared distance of d numbers, as a share of |a|^2 + |b|^2."""
    return _EPS * (d + 16)


def middle(x: Tensor) -> Tensor:
    """Return a centre (d,) float64 of rows (n, d): the median of at most 255 of them, evenly spaced.

    One extreme row moves the mean away from all the others, whose products then tell nothing apart.
    """
    most = max(15, min(255, 2**22 // x.shape[1]))
    rows = x[:: -(-len(x) // most)].double().sort(dim=0).values
    return rows[len(rows) // 2]


def tiles(
    a: Tensor, b: Tensor, centre: Tensor, memory: int = MEMORY, *, upper: bool = False
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Yield squared distances between all rows of ``a`` and ``b``, row blocks outermost.

    Parameters
    ----------
    a, b
        (n, d) and (m, d), on one device.
    centre
        (d,) float64, subtracted from both; `middle` of the data, near which the products lose the fewest digits.
    memory
        Bytes for one tile and its inputs.
    upper
        Leave out tiles below the diagonal, for a set against itself.

    Yields
    ------
    rows, columns : slices of ``a`` and ``b``.
    squared : their squared distances, float64, >= 0.
    slack : what rounding may have changed in them, same shape.
    """
    side = tile_rows(a.shape[1], memory)
    unit = _rounding(a.shape[1])
    for rows in in_blocks(len(a), side):
        x = a[rows].double() - centre
        xx = x.square().sum(dim=1, keepdim=True)
        for columns in in_blocks(len(b), side):
            if upper and columns.start < rows.start:
                continue
            y = b[columns].double() - centre
            norms = xx + y.square().sum(dim=1)
            squared = torch.addmm(norms, x, y.T, alpha=-2)
            slack = norms.mul_(unit)
            yield rows, columns, squared.masked_fill_(squared <= slack, 0.0), slack


def neighbours(queries: Tensor, points: Tensor | None, k: int, memory: int = MEMORY) -> tuple[Tensor, Tensor]:
    """Return each query's k nearest points, of equally near ones those of the lowest rows.

    Parameters
    ----------
    queries
        (n, d).
    points
        (m, d) on the same device, or None for the queries' own set, each query itself left out; every
        distance then serves both its ends, at half the cost.
    k
        Neighbours, at most m (n - 1 for the own set).
    memory
        Bytes for one tile and its inputs.

    Returns
    -------
    squared : (n, k) float64 squared distances, ascending; of the differences themselves, so that equal distances
        are equal whatever else is in the sets.
    index : (n, k) int64 rows of ``points``.
    """
    same_set = points is None
    others = queries if points is None else points
    # One more than asked for tells where rows compete for the last place.
    wide = min(k + 1, len(others) - same_set)
    squared = torch.full((len(queries), wide), torch.inf, dtype=torch.float64, device=queries.device)
    index = torch.full((len(queries), wide), -1, dtype=torch.int64, device=queries.device)

    def keep(rows: slice, columns: slice, tile: Tensor) -> None:
        near, at = tile.topk(min(wide, tile.shape[1]), dim=1, largest=False)
        near = torch.cat([squared[rows], near], dim=1)
        at = torch.cat([index[rows], at + columns.start], dim=1)
        squared[rows], best = near.topk(wide, dim=1, largest=False)
        index[rows] = at.gather(1, best)

    centre = middle(others)
    for rows, columns, tile, _ in tiles(queries, others, centre, memory, upper=same_set):
        if same_set and rows == columns:
            tile.fill_diagonal_(torch.inf)
        keep(rows, columns, tile)
        if same_set and rows != columns:
            keep(columns, rows, tile.T)
    squared, index = _by_differences(queries, others, index, memory)
    contested = np.flatnonzero(_contested(queries, others, centre, squared, k).cpu().numpy())  # one read
    tied = torch.from_numpy(contested).to(queries.device)
    squared, index = squared[:, :k], index[:, :k]
    if len(tied):
        asked, own = queries[tied], tied if same_set else None
        lowest = _lowest_rows(asked, others, centre, squared[tied], index[tied], own, memory)
        squared[tied], index[tied] = _by_differences(asked, others, lowest, memory)
    return squared, index


def _by_differences(queries: Tensor, points: Tensor, index: Tensor, memory: int) -> tuple[Tensor, Tensor]:
    """Return squared distances to the points at ``index`` (n, k) and those rows, by distance and then by row."""
    squared, ordered = torch.empty(index.shape, dtype=torch.float64, device=index.device), index.clone()
    for rows in in_blocks(len(queries), max(1, memory // (16 * index.shape[1] * queries.shape[1]))):
        ascending = index[rows].sort(dim=1).values
        apart = points[ascending].double() - queries[rows].double()[:, None]
        squared[rows], order = apart.square().sum(dim=2).sort(dim=1, stable=True)
        ordered[rows] = ascending.gather(1, order)
    return squared, ordered


def _contested(queries: Tensor, points: Tensor, centre: Tensor, squared: Tensor, k: int) -> Tensor:
    """Tell for which queries (n,) a product cannot tell the k-th nearest point from the next."""
    if squared.shape[1] == k:
        return torch.zeros(len(squared), dtype=torch.bool, device=squared.device)
    length = torch.stack([_longest(queries, centre), _longest(points, centre)]).sum()
    return squared[:, k] - squared[:, k - 1] <= 4 * _rounding(queries.shape[1]) * length


def _longest(x: Tensor, centre: Tensor) -> Tensor:
    blocks = [(x[rows].double() - centre).square().sum(dim=1).amax() for rows in in_blocks(len(x), 4096)]
    return torch.stack(blocks).amax()


def _lowest_rows(
    queries: Tensor,
    points: Tensor,
    centre: Tensor,
    squared: Tensor,
    index: Tensor,
    own: Tensor | None,
    memory: int,
) -> Tensor:
    """Return (n, k) rows: those surely nearer than the k-th, and of those as near as it the lowest.

    ``squared`` and ``index`` (n, k) are nearest points so far, ``own`` (n,) the queries' own rows to leave out.
    """
    limit, k, none = squared[:, -1:], squared.shape[1], len(points)
    lowest = torch.full((len(queries), k), none, dtype=torch.int64, device=index.device)
    doubt = torch.zeros_like(squared)  # each one's own slack: an outlier's is far wider than its neighbours'
    for rows, columns, tile, slack in tiles(queries, points, centre, memory):
        numbers = torch.arange(columns.start, columns.stop, device=index.device)
        near = tile <= limit[rows] + 2 * slack
        if own is not None:
            near &= numbers != own[rows, None]
        at = index[rows] - columns.start
        found = slack.gather(1, at.clamp(0, len(numbers) - 1))
        doubt[rows] += found.where((at >= 0) & (at < len(numbers)), 0.0)
        candidates = torch.where(near, numbers, none)
        first = candidates.topk(min(k, candidates.shape[1]), dim=1, largest=False).values
        lowest[rows] = torch.cat([lowest[rows], first], dim=1).topk(k, dim=1, largest=False).values
    sure = torch.where(squared < limit - 2 * doubt, index, none)
    lowest = torch.where((lowest[:, :, None] == sure[:, None]).any(dim=2), none, lowest)
    candidates = torch.cat([sure, lowest], dim=1)
    place = torch.cat([torch.where(sure < none, -1, none), lowest], dim=1)  # sure ones first, then by row
    return candidates.gather(1, place.argsort(dim=1, stable=True)[:, :k])
