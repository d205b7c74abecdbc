"""Rows of six features, and what scikit-learn's PCA and numpy's least squares leave of them.

Needs numpy and scikit-learn. Columns: the features; the Q statistic of a PCA that holds more than 0.9 of the variance; the
residual of the first feature under a vector autoregression of order 2 with a ridge of 0.01 × rows (first two rows: 0).
"""
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

HERE = Path(__file__).parent


def main():
    rng = np.random.default_rng(5)
    hidden = np.zeros((400, 2))
    for i in range(1, 400):
        hidden[i] = [[0.9, 0.2], [-0.2, 0.8]] @ hidden[i - 1] + 0.4 * rng.normal(size=2)
    x = np.round(hidden @ rng.normal(size=(2, 6)) + 0.2 * rng.normal(size=(400, 6)) + 0.3, 4)
    pca = PCA(n_components=0.9, svd_solver="full").fit(x)
    q = ((x - pca.inverse_transform(pca.transform(x))) ** 2).sum(1)
    z = x - x.mean(0)
    past = np.hstack([z[1:-1], z[:-2]])
    n = len(past)
    a = np.linalg.solve(past.T @ past / n + 0.01 * np.eye(12), past.T @ z[2:] / n)
    residual = np.r_[0, 0, (z[2:] - past @ a)[:, 0]]
    head = "a,b,c,d,e,f,q,residual\n"
    rows = ["".join(f"{v:.4f}," for v in row) + f"{float(qi)!r},{float(r)!r}\n" for row, qi, r in zip(x, q, residual)]
    (HERE / "linear.csv").write_text(head + "".join(rows))
    print(pca.n_components_, pca.explained_variance_ratio_.cumsum(), np.abs(x).max())


if __name__ == "__main__":
    main()
