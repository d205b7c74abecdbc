#!/usr/bin/env python3
"""Makes sarimax_*.csv beside this script: series, and their likelihood by statsmodels' SARIMAX.

Needs numpy and statsmodels==0.15.0; takes some ten minutes. sarimax_series.csv holds one column per series (empty: a
gap, or the end of a shorter one). sarimax_models.csv holds one row per pair of model and series: how many percent of
its rows are missing, roughly (`holes`), its orders, how many daily harmonics of 24 rows are regressors, parameters
(regression, AR, MA, seasonal AR, seasonal MA, variance), the log-likelihood there with the steady-state shortcut
switched off, and the log-likelihood of statsmodels' optimum. Without gaps differences are taken before the likelihood
(simple_differencing). With gaps that would lose what a gap's far end says: there they are part of the model, of the
levels nothing is known (use_exact_diffuse), and the constant is left out that statsmodels has for each of these, so
that without gaps both were the same.
"""
import pathlib
import warnings

import numpy as np
from statsmodels.tsa.statespace.sarimax import SARIMAX

# series, percent missing, (p, d, q), (P, D, Q, s), harmonics
WHOLE = [
    ('ar', 0, (1, 0, 0), (0, 0, 0, 0), 0),
    ('ar', 0, (2, 0, 1), (0, 0, 0, 0), 0),
    ('gappy', 0, (2, 0, 1), (0, 0, 0, 0), 3),
    ('daily', 0, (2, 0, 1), (0, 0, 0, 0), 4),
    ('daily', 0, (1, 0, 1), (1, 0, 1, 24), 0),
    ('seasonal', 0, (1, 0, 1), (1, 0, 1, 12), 0),
    ('seasonal', 0, (0, 1, 1), (0, 1, 1, 12), 0),
    ('gappy', 0, (1, 0, 1), (1, 0, 0, 24), 0),
    ('walk', 0, (1, 1, 2), (0, 0, 0, 0), 0),
    ('walk', 0, (3, 0, 0), (0, 0, 0, 0), 1),
]
GAPPY = [
    ('walk', (0, 1, 1), (0, 0, 0, 0), 0),
    ('walk', (1, 1, 1), (0, 0, 0, 0), 0),
    ('walk', (2, 1, 2), (0, 0, 0, 0), 0),
    ('daily', (1, 1, 1), (0, 0, 0, 0), 3),
    ('daily', (0, 1, 1), (0, 1, 1, 24), 0),
    ('daily', (1, 0, 1), (0, 1, 1, 24), 0),
]
MODELS = WHOLE + [(name, percent, *rest) for name, *rest in GAPPY for percent in (3, 10, 30)]


def arma(rng, n, ar, ma, season=0, seasonal_ar=0.0, seasonal_ma=0.0):
    """n rows of an ARMA, from rest, the first 200 thrown away."""
    e = rng.normal(0, 1, n + 200)
    y = np.zeros(n + 200)
    for t in range(max(season + 3, 5), n + 200):
        y[t] = e[t] + sum(c * y[t - 1 - i] for i, c in enumerate(ar)) + sum(c * e[t - 1 - i] for i, c in enumerate(ma))
        if season:
            y[t] += seasonal_ar * y[t - season] + seasonal_ma * e[t - season]
    return y[200:]


def series():
    """Name -> values."""
    rng = np.random.default_rng(11)
    made = {'ar': arma(rng, 300, [1.1, -0.3], [0.4])}
    t = np.arange(600)
    day = 2 * np.sin(2 * np.pi * t / 24) + np.cos(4 * np.pi * t / 24)
    made['daily'] = day + arma(rng, 600, [0.8], [0.2])
    made['gappy'] = (day + arma(rng, 600, [0.9], [-0.3]))[:400]
    made['gappy'][[7, 8, 9, 50, 111, 203, 399]] = np.nan
    made['gappy'][300:330] = np.nan
    made['seasonal'] = arma(rng, 360, [0.5], [0.3], 12, 0.4, 0.3)
    made['walk'] = np.cumsum(arma(rng, 400, [0.4], [0.3])) / 10
    return {name: np.array([float(f'{v:.6g}') for v in y]) for name, y in made.items()}


def holes(y, percent):
    """y without some rows, the first among them, and from 10 percent on without twelve in a row."""
    t = np.arange(len(y))
    missing = (7919 * t + 104729 * t * t) % 1000 < 10 * percent
    if percent >= 10:
        missing |= (t >= 200) & (t < 212)
    return np.where(missing, np.nan, y)


def harmonics(n, k):
    """Columns sin, cos of 1..k turns in 24 rows; none for k = 0."""
    t = np.arange(n)
    columns = [f(2 * np.pi * h * t / 24) for h in range(1, k + 1) for f in (np.sin, np.cos)]
    return np.stack(columns, axis=1) if columns else None


def fitted(y, order, seasonal, k, gaps):
    """Parameters, log-likelihood at them, log-likelihood at the optimum."""
    how = {'use_exact_diffuse': True} if gaps else {'simple_differencing': True}
    model = SARIMAX(y, harmonics(len(y), k), order=order, seasonal_order=seasonal, **how)
    methods = ['lbfgs'] if gaps else ['lbfgs', 'nm']
    best = max((model.fit(method=m, maxiter=1000, disp=False) for m in methods), key=lambda fit: fit.llf)
    best = model.fit(start_params=best.params, method='lbfgs', maxiter=1000, disp=False)
    model.ssm.tolerance = 0
    # Off the optimum, where no derivative hides a difference.
    at = np.array([float(f'{v:.6g}') for v in best.params * 0.97])
    levels = order[1] + seasonal[1] * seasonal[3] if gaps else 0
    more = levels * np.log(2 * np.pi) / 2
    return at, model.loglike(at) + more, model.loglike(best.params) + more


def main():
    warnings.simplefilter('ignore')
    folder = pathlib.Path(__file__).parent
    made = series()
    longest = max(map(len, made.values()))
    cell = lambda y, i: f'{y[i]:.6g}' if i < len(y) and np.isfinite(y[i]) else ''
    lines = [','.join(made)] + [','.join(cell(y, i) for y in made.values()) for i in range(longest)]
    (folder / 'sarimax_series.csv').write_text('\n'.join(lines) + '\n')
    lines = ['series,rows,missing,p,d,q,sp,sd,sq,season,harmonics,loglike,optimum,parameters']
    for name, percent, order, seasonal, k in MODELS:
        y = holes(made[name], percent)
        at, loglike, optimum = fitted(y, order, seasonal, k, percent > 0)
        parameters = ' '.join(f'{v:.6g}' for v in at)
        head = ','.join(map(str, [name, len(y), percent, *order, *seasonal, k]))
        lines.append(f'{head},{loglike:.12g},{optimum:.12g},{parameters}')
        print(lines[-1], flush=True)
    (folder / 'sarimax_models.csv').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
