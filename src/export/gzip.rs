//! Compressed pieces that become one gzip stream by standing one after the other.
//!
//! Owns: the compression of what a scrape sends. A piece is compressed once, when it changes, and a
//! scrape only writes a head, the pieces and a tail. They make one member of gzip, not several:
//! not every reader goes on after the first member.
//! Does not own: what is in the pieces.

use std::io;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::Crc;
use flate2::write::DeflateEncoder;

/// Head of a gzip member: magic, deflate, no flags, no time, no hint, unknown system (RFC 1952).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty last block of deflate with fixed codes (RFC 1951, 3.2.6).
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// Metrics repeat themselves: a higher level costs time and hardly saves bytes.
const LEVEL: u32 = 3;

/// Text that is sent plain or compressed.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) plain: Arc<[u8]>,
    /// Deflate blocks without a last one, ending at a byte; `None` if it is only sent plain.
    deflated: Option<Arc<[u8]>>,
    crc: Crc,
}

impl Piece {
    /// A piece that can be sent either way.
    pub(super) fn new(text: String) -> Piece {
        let mut piece = Piece::plain(text);
        piece.crc.update(&piece.plain);
        piece.deflated = deflate(&piece.plain).ok();
        piece
    }

    /// A piece that is only sent plain.
    pub(super) fn plain(text: String) -> Piece {
        Piece { plain: text.into_bytes().into(), deflated: None, crc: Crc::new() }
    }
}

fn deflate(plain: &[u8]) -> io::Result<Arc<[u8]>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(plain)?;
    // A sync flush: all that was written is in the output, which ends at a byte boundary.
    encoder.flush()?;
    Ok(encoder.get_ref().as_slice().into())
}

/// The pieces as one gzip member; `None` if one of them is only sent plain.
pub(super) fn join(pieces: &[&Piece]) -> Option<Vec<Arc<[u8]>>> {
    let mut crc = Crc::new();
    let mut parts: Vec<Arc<[u8]>> = vec![HEAD.as_slice().into()];
    for piece in pieces {
        parts.push(piece.deflated.clone()?);
        crc.combine(&piece.crc);
    }
    let mut tail = LAST_BLOCK.to_vec();
    tail.extend(crc.sum().to_le_bytes());
    tail.extend(crc.amount().to_le_bytes());
    parts.push(tail.into());
    Some(parts)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use proptest::prelude::*;

    fn round_trip(texts: &[String]) -> String {
        let pieces: Vec<Piece> = texts.iter().cloned().map(Piece::new).collect();
        let parts = join(&pieces.iter().collect::<Vec<_>>()).unwrap();
        let stream = parts.concat();
        let mut text = String::new();
        // Reads one member only, and checks its sum and length.
        let mut decoder = flate2::bufread::GzDecoder::new(stream.as_slice());
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "nothing follows the member");
        text
    }

    proptest! {
        #[test]
        fn joined_pieces_are_one_gzip_member(texts: Vec<String>) {
            prop_assert_eq!(round_trip(&texts), texts.concat());
        }
    }

    #[test]
    fn large_pieces_too() {
        let texts: Vec<String> =
            (0..3).map(|i| (0..40_000).map(|j| format!("{} ", j * 31 + i)).collect()).collect();
        assert_eq!(round_trip(&texts), texts.concat());
    }
}
