#!/usr/bin/env python3
"""Makes kmeans.csv and kmeans_inertia.csv beside this script: points, and scikit-learn's best clusterings of them.

Needs numpy and scikit-learn==1.9.1. kmeans.csv has five unequal blobs in three dimensions. kmeans_inertia.csv has, for each k,
the least inertia of 200 starts and the mean silhouette of that clustering.
"""
import pathlib

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score


def points():
    """Blobs of different size and width, two of them close to each other."""
    rng = np.random.default_rng(5)
    blobs = [((0, 0, 0), 0.6, 60), ((4, 1, 0), 0.5, 40), ((5.5, 2, 0.5), 0.5, 30), ((-3, 4, 2), 0.9, 25), ((0, -5, 3), 0.4, 15)]
    return np.round(np.concatenate([rng.normal(centre, width, (n, 3)) for centre, width, n in blobs]), 3)


def main():
    here = pathlib.Path(__file__).parent
    x = points()
    (here / 'kmeans.csv').write_text('a,b,c\n' + ''.join(','.join(f'{v:.3f}' for v in row) + '\n' for row in x))
    lines = ['k,inertia,silhouette\n']
    for k in range(2, 7):
        best = KMeans(n_clusters=k, n_init=200, random_state=0, tol=0, max_iter=1000).fit(x)
        lines.append(f'{k},{best.inertia_:.6f},{silhouette_score(x, best.labels_):.6f}\n')
    (here / 'kmeans_inertia.csv').write_text(''.join(lines))


if __name__ == '__main__':
    main()
