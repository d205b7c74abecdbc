#!/usr/bin/env python3
"""Makes stl_*.csv beside this script: series, and their decomposition by statsmodels' STL.

Needs numpy and statsmodels==0.15.0. Columns: y, then season and trend plain, then season, trend and weight robust.
"""
import pathlib

import numpy as np
from statsmodels.tsa.seasonal import STL


def series():
    """Name, period, values."""
    rng = np.random.default_rng(5)
    t = np.arange(400)
    y = 10 + 0.01 * t + 3 * np.sin(2 * np.pi * t / 24) + np.cos(2 * np.pi * t / 12) + rng.normal(0, 0.4, t.size)
    y[[50, 51, 200, 333]] += [30, -20, 9, 50]
    yield 'period24', 24, y
    t = np.arange(61)
    yield 'period7', 7, 1e6 * (2 + (t % 7 == 0) + 0.1 * rng.standard_t(2, t.size))
    yield 'short', 12, rng.lognormal(0, 1, 53)  # with only two cycles, robust weights are chaotic in the last bit


def main():
    folder = pathlib.Path(__file__).parent
    for name, period, y in series():
        y = np.array([float(f'{v:.6g}') for v in y])
        plain, robust = STL(y, period=period).fit(), STL(y, period=period, robust=True).fit()
        columns = [y, plain.seasonal, plain.trend, robust.seasonal, robust.trend, robust.weights]
        lines = [','.join(f'{v:.14g}' for v in row) + '\n' for row in zip(*columns)]
        head = 'y,season,trend,robust_season,robust_trend,robust_weight\n'
        (folder / f'stl_{name}.csv').write_text(head + ''.join(lines))


if __name__ == '__main__':
    main()
