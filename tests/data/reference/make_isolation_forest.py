#!/usr/bin/env python3
"""Makes isolation_forest.csv beside this script: points of four features, and scikit-learn's scores of them.

Needs numpy and scikit-learn==1.9.1. The first 1200 points are learnt from, all are scored. Columns: the features, then minus
score_samples as the mean over seeds 0..7, over seeds 8..15, and of seed 0 alone.
"""
import pathlib

import numpy as np
from sklearn.ensemble import IsolationForest

LEARNT = 1200


def points():
    """Residuals with heavy tails, of two forecasts that know of each other, and their means of four."""
    rng = np.random.default_rng(11)
    sharp = rng.standard_t(4, 1500)
    smooth = 0.7 * sharp + 0.5 * rng.normal(size=sharp.size)
    sharp[1300:1310] += 6
    means = [np.convolve(v, np.ones(4) / 4)[:v.size] for v in (sharp, smooth)]
    return np.round(np.column_stack([sharp, means[0], smooth, means[1]]), 3)


def main():
    x = points()

    def scores(seed):
        forest = IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(x[:LEARNT])
        return -forest.score_samples(x)

    seeds = np.array([scores(seed) for seed in range(16)])
    columns = np.column_stack([x, seeds[:8].mean(0), seeds[8:].mean(0), seeds[0]])
    lines = [','.join([f'{v:.3f}' for v in row[:4]] + [f'{v:.5f}' for v in row[4:]]) + '\n' for row in columns]
    head = 'sharp,sharp_mean,smooth,smooth_mean,mean_0_7,mean_8_15,seed_0\n'
    (pathlib.Path(__file__).parent / 'isolation_forest.csv').write_text(head + ''.join(lines))


if __name__ == '__main__':
    main()
