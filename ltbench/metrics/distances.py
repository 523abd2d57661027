"""Euclidean distances between large sets, tile by tile: exact neighbours in bounded memory.

Tiles are float64 products |a|^2 + |b|^2 - 2 a.b of centred features. What such a product cannot tell
apart is known, ``slack`` = eps (d + 16) (|a|^2 + |b|^2); distances closer than that count as ties, so
duplicated points are at distance 0 and a decision does not depend on how the sets were cut into tiles.
"""

from collections.abc import Iterator

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


def tiles(
    a: Tensor, b: Tensor, centre: Tensor, memory: int = MEMORY, *, upper: bool = False
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Yield squared distances between all rows of ``a`` and ``b``, row blocks outermost.

    Parameters
    ----------
    a, b
        (n, d) and (m, d), on one device.
    centre
        (d,) float64, subtracted from both; near the data's mean the products lose the fewest digits.
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
    unit = _EPS * (a.shape[1] + 16)
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
    """Return each query's k nearest points.

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
    squared = torch.full((len(queries), k), torch.inf, dtype=torch.float64, device=queries.device)
    index = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)

    def keep(rows: slice, columns: slice, tile: Tensor) -> None:
        near, at = tile.topk(min(k, tile.shape[1]), dim=1, largest=False)
        near = torch.cat([squared[rows], near], dim=1)
        at = torch.cat([index[rows], at + columns.start], dim=1)
        squared[rows], best = near.topk(k, dim=1, largest=False)
        index[rows] = at.gather(1, best)

    centre = others.mean(dim=0, dtype=torch.float64)
    for rows, columns, tile, _ in tiles(queries, others, centre, memory, upper=same_set):
        if same_set and rows == columns:
            tile.fill_diagonal_(torch.inf)
        keep(rows, columns, tile)
        if same_set and rows != columns:
            keep(columns, rows, tile.T)
    for rows in in_blocks(len(queries), max(1, memory // (16 * k * queries.shape[1]))):
        apart = others[index[rows]].double() - queries[rows].double()[:, None]
        squared[rows], order = apart.square().sum(dim=2).sort(dim=1, stable=True)
        index[rows] = index[rows].gather(1, order)
    return squared, index
