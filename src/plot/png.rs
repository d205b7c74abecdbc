//! A picture as PNG, two of its pixels to one of the SVG's.
//!
//! Owns: how shapes are drawn, and the file's format: PNG (ISO/IEC 15948), 8 bits, RGB.

use std::io::Write as _;

use flate2::Compression;
use flate2::Crc;
use flate2::write::ZlibEncoder;
use tiny_skia::Color;
use tiny_skia::FillRule;
use tiny_skia::LineCap;
use tiny_skia::LineJoin;
use tiny_skia::Paint;
use tiny_skia::Path;
use tiny_skia::PathBuilder;
use tiny_skia::Pixmap;
use tiny_skia::Stroke as Pen;
use tiny_skia::Transform;

use super::letters;
use super::letters::Stroke;
use super::scene::Anchor;
use super::scene::Colour;
use super::scene::EDGE;
use super::scene::Mark;
use super::scene::Place;
use super::scene::Scene;

/// Pixels of the PNG to one of the SVG: text stays sharp on today's screens.
pub const SCALE: f32 = 2.0;

impl Scene {
    /// The picture as a PNG file.
    ///
    /// # Errors
    /// There is not enough memory for it.
    pub fn to_png(&self) -> std::io::Result<Vec<u8>> {
        let pixels = |length: f64| (length * f64::from(SCALE)).ceil() as u32;
        let pixmap = Pixmap::new(pixels(self.width), pixels(self.height));
        let mut pixmap = pixmap.ok_or(std::io::ErrorKind::OutOfMemory)?;
        pixmap.fill(Color::WHITE);
        self.shapes.iter().for_each(|shape| draw(&mut pixmap, &shape.mark));
        // Nothing lies behind white, so there is no opacity to keep.
        let rgb = pixmap.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]);
        encode(pixmap.width(), pixmap.height(), &rgb.collect::<Vec<u8>>())
    }
}

fn draw(pixmap: &mut Pixmap, mark: &Mark) {
    match mark {
        Mark::Lines { lines, colour, width } => {
            if let Some(path) = path(lines, false) {
                stroke(pixmap, &path, *colour, *width);
            }
        }
        Mark::Areas { borders, colour, opacity } => {
            if let Some(path) = path(borders, true) {
                fill(pixmap, &path, *colour, *opacity);
            }
        }
        Mark::Dots { dots, radius, colour, edge } => {
            for dot in dots {
                let (x, y) = (dot.at.0 as f32, dot.at.1 as f32);
                let Some(path) = PathBuilder::from_circle(x, y, *radius as f32) else { continue };
                fill(pixmap, &path, *colour, 1.0);
                edge.iter().for_each(|edge| stroke(pixmap, &path, *edge, EDGE));
            }
        }
        Mark::Text { at, size, anchor, colour, text } => {
            let left = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => 0.5 * letters::width(text, *size),
                Anchor::End => letters::width(text, *size),
            };
            if let Some(path) = written(text, *size, (at.0 - left, at.1)) {
                fill(pixmap, &path, *colour, 1.0);
            }
        }
    }
}

fn path(lines: &[Vec<Place>], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for line in lines {
        for (i, (x, y)) in line.iter().enumerate() {
            match i {
                0 => path.move_to(*x as f32, *y as f32),
                _ => path.line_to(*x as f32, *y as f32),
            }
        }
        if closed {
            path.close();
        }
    }
    path.finish()
}

fn written(text: &str, size: f64, at: Place) -> Option<Path> {
    let mut path = PathBuilder::new();
    let place = |x: f64, y: f64| ((at.0 + x) as f32, (at.1 + y) as f32);
    for stroke in letters::outlines(text, size) {
        match stroke {
            Stroke::Move(x, y) => {
                let (x, y) = place(x, y);
                path.move_to(x, y);
            }
            Stroke::Line(x, y) => {
                let (x, y) = place(x, y);
                path.line_to(x, y);
            }
            Stroke::Curve(cx, cy, x, y) => {
                let ((cx, cy), (x, y)) = (place(cx, cy), place(x, y));
                path.quad_to(cx, cy, x, y);
            }
            Stroke::Close => path.close(),
        }
    }
    path.finish()
}

fn paint(colour: Colour, opacity: f64) -> Paint<'static> {
    let [_, red, green, blue] = colour.to_be_bytes();
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, (opacity * 255.0).round() as u8);
    paint
}

fn fill(pixmap: &mut Pixmap, path: &Path, colour: Colour, opacity: f64) {
    let scale = Transform::from_scale(SCALE, SCALE);
    pixmap.fill_path(path, &paint(colour, opacity), FillRule::Winding, scale, None);
}

fn stroke(pixmap: &mut Pixmap, path: &Path, colour: Colour, width: f64) {
    let pen = Pen {
        width: width as f32,
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Pen::default()
    };
    let scale = Transform::from_scale(SCALE, SCALE);
    pixmap.stroke_path(path, &paint(colour, 1.0), &pen, scale, None);
}

/// The file's first bytes.
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// Rows of RGB as a PNG file. Each row is told as its difference from the one above (filter 2): most
/// of a plot is the same there.
fn encode(width: u32, height: u32, rgb: &[u8]) -> std::io::Result<Vec<u8>> {
    let row = 3 * width as usize;
    let mut above = vec![0; row];
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    for line in rgb.chunks_exact(row) {
        let told = line.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above));
        let told: Vec<u8> = std::iter::once(2).chain(told).collect();
        zlib.write_all(&told)?;
        above.copy_from_slice(line);
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]); // 8 bits, RGB, and what PNG knows no other of
    let mut png = SIGNATURE.to_vec();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &zlib.finish()?);
    chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(data);
    png.extend(crc.sum().to_be_bytes());
}
