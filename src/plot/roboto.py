#!/usr/bin/env python3
"""Writes roboto.txt: the outlines of the letters that plots use, from a Roboto of before 2024 (Apache-2.0).

Debian's fonts-roboto-unhinted has it. Needs fonttools.
    python3 roboto.py Roboto-Regular.ttf > roboto.txt
A line is a letter's code point, its advance, and its outline in 2048ths of the size, y upwards:
M and L with a point, Q with two, Z.
"""

import sys

from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

LETTERS = [chr(c) for c in range(32, 127)] + list("°µ·×–—…≤≥−")
COMMANDS = {"moveTo": "M", "lineTo": "L", "closePath": "Z"}


def outline(glyphs, name):
    pen = DecomposingRecordingPen(glyphs)
    glyphs[name].draw(pen)
    words = []
    for command, points in pen.value:
        if command != "qCurveTo":
            words += [COMMANDS[command], *(f"{round(v)}" for point in points for v in point)]
            continue
        # Between two points off the curve TrueType leaves out the one on it.
        *off, last = points
        if last is None:  # a closed curve with no point on it
            last = [(a + b) / 2 for a, b in zip(off[0], off[-1])]
            words += ["M", *(f"{round(v)}" for v in last)]
        for i, point in enumerate(off):
            end = last if i == len(off) - 1 else [(a + b) / 2 for a, b in zip(point, off[i + 1])]
            words += ["Q", *(f"{round(v)}" for v in (*point, *end))]
    return " ".join(words)


font = TTFont(sys.argv[1])
assert font["head"].unitsPerEm == 2048
names, glyphs = font.getBestCmap(), font.getGlyphSet()
for letter in LETTERS:
    name = names[ord(letter)]
    print(f"{ord(letter):x} {glyphs[name].width} {outline(glyphs, name)}".strip())
