//! The colour map "plasma" of matplotlib (CC0), from blue over red to yellow: evenly perceived, and
//! readable without red and green.

use super::scene::Colour;

/// Every eighth of its 256 colours and the last; between them it is straight to within 3 of 255.
const COLOURS: [Colour; 33] = [
    0x0d0887, 0x220690, 0x310597, 0x3f049c, 0x4c02a1, 0x5901a5, 0x6600a7, 0x7201a8, 0x7e03a8,
    0x8a09a5, 0x9511a1, 0xa01a9c, 0xaa2395, 0xb32c8e, 0xbc3587, 0xc43e7f, 0xcc4778, 0xd24f71,
    0xd9586a, 0xdf6263, 0xe56b5d, 0xeb7556, 0xf07f4f, 0xf48948, 0xf89441, 0xfb9f3a, 0xfdab33,
    0xfeb72d, 0xfdc328, 0xfcd025, 0xf9dd25, 0xf5eb27, 0xf0f921,
];

/// The colour at `part`, 0..=1 from blue to yellow.
pub(super) fn colour(part: f64) -> Colour {
    let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
    let at = part * (COLOURS.len() - 1) as f64;
    let low = (at as usize).min(COLOURS.len() - 2);
    let (from, to) = (COLOURS[low].to_be_bytes(), COLOURS[low + 1].to_be_bytes());
    let part = at - low as f64;
    let mixed =
        |i: usize| (f64::from(from[i]) * (1.0 - part) + f64::from(to[i]) * part).round() as u8;
    Colour::from_be_bytes([0, mixed(1), mixed(2), mixed(3)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_from_blue_to_yellow() {
        assert_eq!([0.0, 0.5, 1.0].map(colour), [0x0d0887, 0xcc4778, 0xf0f921]);
        assert_eq!([f64::NAN, -1.0, 9.0].map(colour), [0x0d0887, 0x0d0887, 0xf0f921]);
        assert_eq!(colour(1.0 / 64.0), 0x18078c);
    }
}
