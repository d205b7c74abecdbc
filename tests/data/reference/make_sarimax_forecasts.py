#!/usr/bin/env python3
"""Makes sarimax_forecasts.csv beside this script: forecasts of statsmodels' SARIMAX, with their variance.

Needs numpy and statsmodels==0.15.0; takes seconds. The series are those of sarimax_series.csv. One row per model,
series and first row: orders, parameters (AR, MA, seasonal AR, seasonal MA, variance), the forecasts of the rows after
the last one and their variances. Differences are part of the model (not simple_differencing), so that a gap costs
nothing but itself; levels of which nothing is known have a variance of 1e6. Each model is asked twice: after the
last row, and after the last five rows were taken away, where only the filter says how certain it still is.
"""
import csv
import pathlib
import warnings

import numpy as np
from statsmodels.tsa.statespace.sarimax import SARIMAX

# series, (p, d, q), (P, D, Q, s), parameters
MODELS = [
    ('ar', (2, 0, 1), (0, 0, 0, 0), [0.94, -0.22, 0.49, 0.95]),
    ('gappy', (2, 0, 1), (0, 0, 0, 0), [0.83, 0.08, -0.35, 0.85]),
    ('gappy', (1, 0, 1), (1, 0, 1, 12), [0.86, -0.14, 0.26, 0.3, 1.17]),
    ('walk', (1, 1, 2), (0, 0, 0, 0), [0.53, 0.23, -0.06, 0.009]),
    ('gappy', (0, 1, 0), (0, 0, 0, 0), [0.9]),
    ('gappy', (2, 1, 1), (0, 0, 0, 0), [0.5, 0.1, -0.4, 1.3]),
    ('gappy', (1, 2, 1), (0, 0, 0, 0), [0.3, -0.7, 1.1]),
    ('seasonal', (1, 0, 1), (0, 1, 1, 12), [0.6, 0.2, -0.5, 1.4]),
    ('gappy', (1, 0, 1), (0, 1, 1, 24), [0.8, -0.1, -0.6, 1.2]),
    ('gappy', (0, 0, 0), (1, 1, 0, 24), [-0.4, 1.2]),
    ('gappy', (0, 1, 1), (0, 1, 1, 24), [-0.3, -0.6, 1.2]),
    ('daily', (1, 2, 1), (1, 1, 0, 6), [0.3, -0.8, -0.2, 1.5]),
]
AHEAD = 30


def main():
    warnings.simplefilter('ignore')
    folder = pathlib.Path(__file__).parent
    with open(folder / 'sarimax_series.csv') as file:
        rows = list(csv.DictReader(file))
    numbers = {name: np.array([float(row[name] or 'nan') for row in rows]) for name in rows[0]}
    lines = ['series,rows,gap,p,d,q,sp,sd,sq,season,parameters,forecasts,variances']
    for name, order, seasonal, parameters in MODELS:
        y = numbers[name]
        y = y[: np.flatnonzero(np.isfinite(y))[-1] + 1]
        for gap in (0, 5):
            seen = y.copy()
            seen[len(y) - gap :] = np.nan
            model = SARIMAX(seen, order=order, seasonal_order=seasonal)
            model.ssm.tolerance = 0
            forecast = model.filter(parameters).get_forecast(AHEAD)
            text = lambda values: ' '.join(f'{v:.12g}' for v in values)
            head = ','.join(map(str, [name, len(y), gap, *order, *seasonal, text(parameters)]))
            lines.append(f'{head},{text(forecast.predicted_mean)},{text(forecast.var_pred_mean)}')
    (folder / 'sarimax_forecasts.csv').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
