#!/usr/bin/env python3
"""Makes one_class_svm.csv beside this script: points of four features, and scikit-learn's decision values of them.

Needs numpy and scikit-learn==1.9.1. The first 1000 points are learnt from, all are scored. Columns: the features, then
decision_function at nu 0.05 and 0.5, each at libsvm's usual tolerance and at 1e-10: how far those two are apart is how well
libsvm itself knows them.
"""
import pathlib

import numpy as np
from sklearn.svm import OneClassSVM

LEARNT = 1000


def points():
    """Residuals with heavy tails, of two forecasts that know of each other, and their means of four."""
    rng = np.random.default_rng(12)
    sharp = rng.standard_t(4, 1200)
    smooth = 0.7 * sharp + 0.5 * rng.normal(size=sharp.size)
    sharp[1100:1110] += 6
    means = [np.convolve(v, np.ones(4) / 4)[:v.size] for v in (sharp, smooth)]
    return np.round(np.column_stack([sharp, means[0], smooth, means[1]]), 3)


def main():
    x = points()

    def decision(nu, tol):
        return OneClassSVM(kernel='rbf', gamma='scale', nu=nu, tol=tol).fit(x[:LEARNT]).decision_function(x)

    columns = np.column_stack([x] + [decision(nu, tol) for nu in (0.05, 0.5) for tol in (1e-3, 1e-10)])
    lines = [','.join([f'{v:.3f}' for v in row[:4]] + [f'{v:.8g}' for v in row[4:]]) + '\n' for row in columns]
    head = 'sharp,sharp_mean,smooth,smooth_mean,nu_05,nu_05_exact,nu_50,nu_50_exact\n'
    (pathlib.Path(__file__).parent / 'one_class_svm.csv').write_text(head + ''.join(lines))


if __name__ == '__main__':
    main()
