#!/usr/bin/env python3
"""Makes stl_*.csv and mstl.csv beside this script: series, and their decomposition by statsmodels' STL and MSTL.

Needs numpy and statsmodels==0.15.0. Columns: y, then season and trend plain, then season, trend and weight robust;
two seasons each for MSTL.
"""
import pathlib

import numpy as np
from statsmodels.tsa.seasonal import MSTL, STL


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
    t = np.arange(333)
    shape = np.where(t % 30 < 10, 2.0, 0.5) * (1 + 0.5 * np.sin(2 * np.pi * t / 15))
    yield 'wide', 30, shape + 0.002 * t + rng.normal(0, 0.2, t.size) + 8 * (t == 100)  # windows both whole and cut


def several():
    """Periods, values."""
    rng = np.random.default_rng(6)
    t = np.arange(301)
    y = 5 + np.sin(2 * np.pi * t / 12) + (t % 60 < 15) + 0.01 * t + rng.normal(0, 0.2, t.size)
    y[[40, 200]] += [9, -5]
    return (12, 60), y


def rounded(y):
    return np.array([float(f'{v:.6g}') for v in y])


def write(path, head, columns):
    lines = [','.join(f'{v:.14g}' for v in row) + '\n' for row in zip(*columns)]
    path.write_text(head + '\n' + ''.join(lines))


def main():
    folder = pathlib.Path(__file__).parent
    for name, period, y in series():
        y = rounded(y)
        plain, robust = STL(y, period=period).fit(), STL(y, period=period, robust=True).fit()
        columns = [y, plain.seasonal, plain.trend, robust.seasonal, robust.trend, robust.weights]
        write(folder / f'stl_{name}.csv', 'y,season,trend,robust_season,robust_trend,robust_weight', columns)
    periods, y = several()
    y = rounded(y)
    plain = MSTL(y, periods=periods).fit()
    robust = MSTL(y, periods=periods, stl_kwargs={'robust': True}).fit()
    columns = [y, *plain.seasonal.T, plain.trend, *robust.seasonal.T, robust.trend, robust.weights]
    head = 'y,season_1,season_2,trend,robust_season_1,robust_season_2,robust_trend,robust_weight'
    write(folder / 'mstl.csv', head, columns)


if __name__ == '__main__':
    main()
