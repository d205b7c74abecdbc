#!/usr/bin/env python3
"""Makes random_forest.csv and random_forest_rmse.csv beside this script: rows to learn from and to
forecast, and how far off scikit-learn's RandomForestRegressor is on them, seed by seed.

Needs numpy and scikit-learn==1.9.1. Columns of the rows: train (1 or 0), value a day ago and a week ago,
half-hour of the day, weekday, target. Columns of the errors: settings, seed, rmse; settings are
trees/min_samples_leaf/max_features.
"""
import pathlib

import numpy as np
from sklearn.ensemble import RandomForestRegressor

SETTINGS = [(100, 5, 0.5), (100, 1, 1.0), (20, 20, 0.25)]
SEEDS = range(12)


def rows():
    """Half-hours of six weeks: day, week, and noise that stays a while; then lags and calendar."""
    rng = np.random.default_rng(11)
    t = np.arange(6 * 336)
    noise = np.zeros(t.size)
    for i in range(1, t.size):
        noise[i] = 0.7 * noise[i - 1] + 0.35 * rng.normal()
    work = np.where(t // 48 % 7 < 5, 1.0, 0.4)
    y = work * np.sin(2 * np.pi * t / 48) + 0.5 * np.exp(-((t % 48 - 5) ** 2) / 2) + noise
    y = np.round(y, 3)
    x = np.column_stack([y[336 - 48:-48], y[:-336], t[336:] % 48, t[336:] // 48 % 7])
    return x, y[336:]


def main():
    folder = pathlib.Path(__file__).parent
    x, y = rows()
    split = y.size * 8 // 10
    lines = ['train,day_ago,week_ago,half_hour,weekday,target\n']
    for i, (row, target) in enumerate(zip(x, y)):
        lines.append(f'{int(i < split)},{row[0]:g},{row[1]:g},{row[2]:g},{row[3]:g},{target:g}\n')
    (folder / 'random_forest.csv').write_text(''.join(lines))
    lines = ['settings,seed,rmse\n']
    for trees, leaf, share in SETTINGS:
        for seed in SEEDS:
            forest = RandomForestRegressor(
                trees, min_samples_leaf=leaf, max_features=share, random_state=seed
            ).fit(x[:split], y[:split])
            rmse = np.sqrt(np.mean((forest.predict(x[split:]) - y[split:]) ** 2))
            lines.append(f'{trees}/{leaf}/{share:g},{seed},{rmse:.6f}\n')
    (folder / 'random_forest_rmse.csv').write_text(''.join(lines))


if __name__ == '__main__':
    main()
