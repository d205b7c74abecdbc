//! The letters of a picture: how wide they are, and their outlines.
//!
//! Owns: the font. It is built in, as outlines (`roboto.txt`, made by `roboto.py`), since an image
//! without fonts draws PNGs as well. A letter that is not in it is drawn as a question mark.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Roboto, © 2015 Google, Apache-2.0.
static ROBOTO: LazyLock<BTreeMap<char, Letter>> = LazyLock::new(|| {
    let lines = include_str!("roboto.txt").lines();
    lines.filter_map(letter).collect()
});

/// Units of the outlines per unit of size.
const PER_SIZE: f64 = 2048.0;

/// A letter in 2048ths of the size, y upwards.
struct Letter {
    advance: f64,
    outline: Vec<Stroke>,
}

/// A step of an outline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stroke {
    Move(f64, f64),
    Line(f64, f64),
    /// A quadratic curve: its control, its end.
    Curve(f64, f64, f64, f64),
    Close,
}

fn letter(line: &str) -> Option<(char, Letter)> {
    let mut words = line.split(' ');
    let letter = char::from_u32(u32::from_str_radix(words.next()?, 16).ok()?)?;
    let advance = words.next()?.parse().ok()?;
    let mut outline = Vec::new();
    while let Some(command) = words.next() {
        let mut number = || words.next()?.parse::<f64>().ok();
        outline.push(match command {
            "M" => Stroke::Move(number()?, number()?),
            "L" => Stroke::Line(number()?, number()?),
            "Q" => Stroke::Curve(number()?, number()?, number()?, number()?),
            _ => Stroke::Close,
        });
    }
    Some((letter, Letter { advance, outline }))
}

fn drawn(letter: char) -> Option<&'static Letter> {
    ROBOTO.get(&letter).or_else(|| ROBOTO.get(&'?'))
}

/// How wide a text is at this size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().filter_map(drawn).map(|letter| letter.advance).sum::<f64>() * size / PER_SIZE
}

/// The outlines of a text that begins at the origin, y downwards.
pub(super) fn outlines(text: &str, size: f64) -> impl Iterator<Item = Stroke> {
    let scale = size / PER_SIZE;
    let mut x = 0.0;
    text.chars().filter_map(drawn).flat_map(move |letter| {
        let left = x;
        x += letter.advance;
        let place = move |(dx, y): (f64, f64)| ((left + dx) * scale, -y * scale);
        letter.outline.iter().map(move |stroke| match *stroke {
            Stroke::Move(x, y) => {
                let (x, y) = place((x, y));
                Stroke::Move(x, y)
            }
            Stroke::Line(x, y) => {
                let (x, y) = place((x, y));
                Stroke::Line(x, y)
            }
            Stroke::Curve(cx, cy, x, y) => {
                let ((cx, cy), (x, y)) = (place((cx, cy)), place((x, y)));
                Stroke::Curve(cx, cy, x, y)
            }
            Stroke::Close => Stroke::Close,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_font_is_a_letter() {
        assert_eq!(ROBOTO.len(), include_str!("roboto.txt").lines().count());
        assert!((b' '..=b'~').all(|letter| ROBOTO.contains_key(&char::from(letter))));
    }

    #[test]
    fn widths_add_up_and_scale() {
        assert!(width("mm", 10.0) > 3.0 * width("ii", 10.0));
        assert!((width("ab", 24.0) - 2.0 * (width("a", 12.0) + width("b", 12.0))).abs() < 1e-9);
        assert_eq!(width("漢", 12.0), width("?", 12.0));
        let lowest = outlines("Ag", 100.0).filter_map(|stroke| match stroke {
            Stroke::Line(_, y) | Stroke::Curve(.., y) => Some(y),
            _ => None,
        });
        assert!(lowest.fold(f64::MIN, f64::max) > 10.0, "a g hangs below the line, y downwards");
    }
}
