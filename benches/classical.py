#!/usr/bin/env python3
"""The other side of classical.rs: statsmodels and scikit-learn on the same points.

    classical.py DATA.csv AT_LEAST_MS     reads names of jobs, answers each with milliseconds of CPU

Learns from the first 80 %, scores the rest (STL: takes everything apart). What a job needs beside its own arithmetic (features,
regressors) is made before and costs it nothing. One thread: the caller sets OMP_NUM_THREADS and its like.
"""
import sys
import time
import warnings

import numpy as np
from sklearn.ensemble import IsolationForest, RandomForestRegressor
from sklearn.svm import OneClassSVM
from statsmodels.tsa.seasonal import STL
from statsmodels.tsa.statespace.sarimax import SARIMAX

DAY, WEEK = 48, 336


class Data:
    """The points and what is made of them."""

    def __init__(self, path):
        self.t, self.y, self.filled = np.genfromtxt(path, delimiter=',', skip_header=1, unpack=True)
        self.n = len(self.y)
        self.train = int(self.n * 0.8)
        self.fourier = self._fourier()
        self.lagged = self._lagged()
        self.residuals = self._residuals()

    def _fourier(self):
        """24 regressors: six harmonics of the day, six of the week."""
        i = np.arange(self.n)
        waves = [2 * np.pi * k * i / period for period in (DAY, WEEK) for k in range(1, 7)]
        return np.column_stack([f(wave) for wave in waves for f in (np.sin, np.cos)])

    def _lagged(self):
        """The workshop's features of a forest: lags, hour, weekday."""
        hour, weekday = self.t // 3600 % 24, (self.t // 86400 + 4) % 7
        lag = lambda k: np.concatenate([np.full(k, np.nan), self.y[:-k]])
        columns = [lag(k) for k in (1, 2, 3, DAY, WEEK)] + [hour, weekday]
        return np.column_stack(columns)

    def _residuals(self):
        """Distance to the slot's median and to a decomposition, each also as mean of four points."""
        slot = np.arange(self.n) % WEEK
        slots = np.array([np.nanmedian(self.y[:self.train][slot[:self.train] == s]) for s in range(WEEK)])
        parts = STL(self.filled, period=WEEK).fit()
        columns = []
        for residual in (self.filled - slots[slot], parts.resid):
            columns += [residual, np.convolve(residual, np.ones(4) / 4)[:self.n]]
        return np.column_stack(columns)

    def rows(self, features):
        """Training rows, their values, and test rows, all without gaps."""
        known = np.isfinite(features).all(axis=1) & np.isfinite(self.y)
        old, new = known.copy(), known.copy()
        old[self.train:], new[:self.train] = False, False
        return features[old], self.y[old], features[new]


def sarimax(data, y, order, seasonal, exog):
    old, new = (exog[:data.train], exog[data.train:]) if exog is not None else (None, None)
    fitted = SARIMAX(y[:data.train], exog=old, order=order, seasonal_order=seasonal).fit(disp=False)
    forecast = fitted.get_forecast(data.n - data.train, exog=new)
    return np.abs(y[data.train:] - forecast.predicted_mean) / np.sqrt(forecast.var_pred_mean)


def forest(data, seed, **settings):
    old, values, new = data.rows(data.lagged)
    return RandomForestRegressor(n_estimators=100, n_jobs=1, random_state=seed, **settings).fit(old, values).predict(new)


def isolation(data, seed):
    old, _, new = data.rows(data.residuals)
    return IsolationForest(n_estimators=100, max_samples=256, n_jobs=1, random_state=seed).fit(old).score_samples(new)


def one_class(data):
    old, _, new = data.rows(data.residuals)
    return OneClassSVM(nu=0.05, gamma='scale').fit(old).decision_function(new)


JOBS = {
    'stl_48': lambda data, seed: STL(data.filled, period=DAY).fit(),
    'stl_336': lambda data, seed: STL(data.filled, period=WEEK).fit(),
    'stl_336_robust': lambda data, seed: STL(data.filled, period=WEEK, robust=True).fit(),
    'sarimax_fourier': lambda data, seed: sarimax(data, data.y, (2, 0, 1), (0, 0, 0, 0), data.fourier),
    'sarimax_48': lambda data, seed: sarimax(data, data.y, (1, 0, 1), (1, 0, 1, DAY), None),
    'sarimax_48_filled': lambda data, seed: sarimax(data, data.filled, (1, 0, 1), (1, 0, 1, DAY), None),
    'random_forest': forest,
    'random_forest_small': lambda data, seed: forest(data, seed, min_samples_leaf=5, max_features=0.5),
    'isolation_forest': isolation,
    'one_class_svm': lambda data, seed: one_class(data),
}


def main():
    warnings.filterwarnings('ignore')  # that an optimum is not quite one
    data, at_least_s = Data(sys.argv[1]), float(sys.argv[2]) / 1000
    for seed, line in enumerate(sys.stdin):
        started, n = time.process_time(), 0
        while n == 0 or time.process_time() - started < at_least_s:
            JOBS[line.strip()](data, seed + n)
            n += 1
        print(1000 * (time.process_time() - started) / n, flush=True)


if __name__ == '__main__':
    main()
