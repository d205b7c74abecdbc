"""Labels, scores and what the definitions say of them, threshold by threshold and width by width.

python make_quality.py [FOLDER]: with the folder of a `detection_metrics.py`, its figures are compared, too.
Needs numpy and scikit-learn.
"""
import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

HERE = Path(__file__).parent


def runs(labels):
    edges = np.diff(np.r_[0, labels.astype(int), 0])
    return list(zip(np.where(edges == 1)[0], np.where(edges == -1)[0] - 1))


def ranks(n, count=400):
    return np.unique(np.r_[0, np.round(np.geomspace(1, n, count)).astype(int) - 1, n - 1])


def range_area(labels, scores, width):
    """Area under range-aware precision and recall, straight from the definition: one mask per threshold."""
    n, half = len(labels), width // 2
    soft = labels.astype(float)
    for a, b in runs(labels):
        for d in range(1, half + 1):
            weight = np.sqrt(1 - d / width)
            if b + d < n:
                soft[b + d] += weight
            if a - d >= 0:
                soft[a - d] += weight
    soft = np.minimum(soft, 1)
    whole = []  # runs with their buffers, as one where they share a row
    for a, b in runs(labels):
        if whole and whole[-1][1] >= a - half:
            whole[-1][1] = b + half
        else:
            whole.append([max(a - half, 0), b + half])
    area, before = 0.0, 0.0
    for threshold in -np.sort(-scores)[ranks(n)]:
        over = scores >= threshold
        hits = (soft * over).sum()
        labelled = labels.sum() + (soft * over * (labels == 0)).sum()
        exist = np.mean([over[a:b + 1].any() for a, b in whole])
        recall = min(hits / ((labels.sum() + labelled) / 2), 1) * exist
        area += (recall - before) * hits / over.sum()
        before = recall
    return area


def events(labels, scores, step_s, threshold=1.0):
    rows = lambda s: max(1, int(round(s / step_s)))
    merged = []
    for a, b in runs(labels):
        if merged and a - merged[-1][1] - 1 < rows(1800):
            merged[-1][1] = b
        else:
            merged.append([a, b])
    grace, near = max(2, rows(600)), np.zeros(len(labels), bool)
    for a, b in merged:
        near[max(0, a - grace):b + grace + 1] = True
    alarms = [i for i in range(len(scores)) if scores[i] >= threshold]
    pages = []
    for i in alarms:
        if pages and i - pages[-1][-1] <= rows(1800):
            pages[-1].append(i)
        else:
            pages.append([i])
    false = 0
    for page in pages:
        if not near[page].any():
            false += 1 + (page[-1] - page[0]) // rows(21600)
        elif not near[page[0]]:
            false += 1
    after = []
    for a, b in merged:
        later = [i for i in alarms if i >= a]
        after.append((later[0] - a) * step_s if later and later[0] <= b + grace else -1)
    return false, after


def period(values):
    x = np.nan_to_num(values[:20000] - np.nanmean(values[:20000]))
    acf = np.array([np.dot(x[k:], x[:len(x) - k]) if k < len(x) else 0.0 for k in range(3, 401)])
    peaks = [i for i in range(1, len(acf) - 1) if acf[i - 1] < acf[i] > acf[i + 1]]
    best = max(peaks, key=lambda i: acf[i], default=0)
    return 125 if best < 3 or best > 300 else best + 3


def series(seed, n, n_runs, longest, ties, lone):
    rng = np.random.default_rng(seed)
    labels = np.zeros(n, int)
    for _ in range(n_runs):
        a = rng.integers(0, n)
        labels[a:a + rng.integers(1, longest + 1)] = 1
    if lone:  # at both ends, and two that nearly touch
        labels[[0, n - 1, n // 2, n // 2 + 5]] = 1
    scores = rng.gamma(1.0, 0.35, n) + labels * rng.gamma(1.5, 0.8, n) * rng.integers(0, 2, n)
    if ties:
        scores = np.round(scores, 1)
    values = np.sin(np.arange(n) * 2 * np.pi / (24 + seed)) + 0.3 * rng.normal(size=n)
    values[rng.integers(0, n, n // 40)] = np.nan
    return labels, np.round(scores, 6), np.round(values, 6)


def main():
    other = None
    if len(sys.argv) > 1:
        sys.path.insert(0, sys.argv[1])
        import detection_metrics as other
    kinds = [("plain", 1, 700, 5, 20, False, False, 300), ("ties", 2, 500, 4, 12, True, False, 60),
             ("ends", 3, 450, 3, 8, False, True, 60), ("dense", 4, 300, 14, 6, True, True, 900)]
    rows, figures = [], []
    for name, seed, n, n_runs, longest, ties, lone, step_s in kinds:
        labels, scores, values = series(seed, n, n_runs, longest, ties, lone)
        rows += [(name, int(y), repr(float(s)), "" if np.isnan(v) else repr(float(v)))
                 for y, s, v in zip(labels, scores, values)]
        put = lambda what, value: figures.append((name, what, repr(float(value))))
        put("step_s", step_s)
        areas = [range_area(labels, scores, width) for width in range(41)]
        for width in (0, 1, 2, 7, 16, 40):
            put(f"area {width}", areas[width])
        put("volume 40", np.mean(areas))
        put("period", period(values))
        over = scores >= 1
        tn, fp, fn, tp = confusion_matrix(labels, over).ravel()
        for what, value in [("tp", tp), ("fp", fp), ("fn", fn), ("tn", tn), ("precision", precision_score(labels, over)),
                            ("recall", recall_score(labels, over)), ("f1", f1_score(labels, over))]:
            put(what, value)
        false, after = events(labels, scores, step_s)
        put("false_pages", false)
        for k, s in enumerate(after):
            put(f"after {k}", s)
        if other:
            assert abs(np.mean(areas) - other.vus_pr(labels, scores, 40)) < 1e-12, name
            p, f, d = other.Events(labels, step_s).at(scores, 1.0)
            assert p == false and [int(x) for x in np.where(f, d, -1)] == [int(x) for x in after], name
            print(name, "agrees", np.mean(areas), period(values), false, after)
    for name, head, body in [("quality_rows.csv", "series,label,score,value", rows),
                             ("quality.csv", "series,figure,value", figures)]:
        with open(HERE / name, "w", newline="") as out:
            out.write(head + "\n")
            csv.writer(out, lineterminator="\n").writerows(body)


if __name__ == "__main__":
    main()
