#!/usr/bin/env python3
"""Makes calibration_*.csv beside this script: raw scores, and the surprise that the reference gives them.

The reference is the block-maxima calibration that Portent's score was measured with, in plain numpy.
Needs numpy. Columns: raw, surprise (before the first fit: -ln of blocks per week).
"""
import pathlib

import numpy as np

LOWEST, WIDTH, LEVELS = np.log(0.05), 0.05, 360
WEEK_S = 604800.0


def level(rates, rate):
    """Raw score at this rate, interpolated on a log-log line."""
    i = 0
    for j in range(LEVELS):
        if rates[j] >= rate:
            i = j
    i = min(i, LEVELS - 2)
    a, b = np.log(max(rates[i], 1e-12)), np.log(max(rates[i + 1], 1e-12))
    part = min(max((a - np.log(rate)) / (a - b), 0.0), 1.0) if a > b else 0.0
    return np.exp(LOWEST + WIDTH * (i + part))


def tail_curve(hist, weight, per_week, R=20.0, k=3.0, k0=30.0, xi0=0.1, ximax=1.0, mmin=5.0, smin=0.1, blend=0.15):
    """Surprise at each level."""
    rates = np.cumsum(hist[::-1])[::-1] / weight * per_week
    Ru = max(R, mmin / weight * per_week)
    while Ru * k * k > 0.95 * rates[0] and k > 1.5:
        k *= 0.9
    u, u1, u2 = level(rates, Ru), level(rates, Ru * k), level(rates, Ru * k * k)
    d2, d1 = max(u - u1, 1e-6), max(u1 - u2, 1e-6)
    xh = min(max(np.log(d2 / d1) / np.log(k), -0.3), 1.5)
    n = Ru / per_week * weight
    xi = min(max((n * xh + k0 * xi0) / (n + k0), 0.01), ximax)
    sigma = max(d2 * xi / (1 - k ** (-xi)), smin * u)
    out, last = np.empty(LEVELS), -1e9
    for i in range(LEVELS):
        x = np.exp(LOWEST + WIDTH * i) - u
        if x <= 0:
            y = min(-np.log(max(rates[i], 1e-9)), -np.log(Ru))
        else:
            y = -np.log(Ru) + np.log1p(xi * x / sigma) / xi
            if rates[i] * weight / per_week > 0.5:
                y = min(y, (1 - blend) * y - blend * np.log(rates[i]))
        last = max(last, y)
        out[i] = last
    return out


def calibrate(raw, step_s, block_s, refresh_s, half_life_weeks=8.0):
    """Surprise of each raw score, from the blocks that ended before it."""
    block = max(1, round(block_s / step_s))
    per_week = WEEK_S / step_s / block
    decay = 0.5 ** (1 / (half_life_weeks * per_week))
    every = max(1, round(refresh_s / step_s))
    hist, weight, curve, maximum = np.zeros(LEVELS), 0.0, None, 0.0
    out = np.full(len(raw), -np.log(per_week))
    for t, z in enumerate(raw):
        if t % every == 0 and weight >= 7:
            curve = tail_curve(hist, weight, per_week)
        maximum = max(maximum, z)
        if curve is not None:
            a = min(max((np.log(max(z, 1e-12)) - LOWEST) / WIDTH, 0.0), LEVELS - 1.001)
            i = int(a)
            out[t] = max(curve[i] * (1 - (a - i)) + curve[i + 1] * (a - i), -np.log(per_week))
        if (t + 1) % block == 0:
            hist *= decay
            weight = weight * decay + 1
            hist[min(max(int((np.log(max(maximum, 1e-12)) - LOWEST) / WIDTH), 0), LEVELS - 1)] += 1
            maximum = 0.0
    return out


def series():
    """Name, raw scores, step, block and refresh in seconds."""
    rng = np.random.default_rng(3)
    yield 'lognormal_60s', rng.lognormal(-0.5, 0.8, 2400), 60, 1800, 21600
    heavy = np.abs(rng.standard_t(1.5, 2400))
    heavy[::400] *= 1e4
    heavy[5:900:7] = 0.0
    yield 'heavy_300s', heavy, 300, 1800, 21600
    yield 'gaussian_1s', np.abs(rng.normal(0, 1, 1200)), 1, 10, 60


def main():
    folder = pathlib.Path(__file__).parent
    for name, raw, step_s, block_s, refresh_s in series():
        raw = np.array([float(f'{z:.6g}') for z in raw])
        surprise = calibrate(raw, step_s, block_s, refresh_s)
        lines = [f'{z:.6g},{y:.13g}\n' for z, y in zip(raw, surprise)]
        (folder / f'calibration_{name}.csv').write_text('raw,surprise\n' + ''.join(lines))


if __name__ == '__main__':
    main()
