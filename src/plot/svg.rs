//! A picture as SVG.
//!
//! Owns: the text of the file. Letters stay letters; each shape is a group with its class.

use std::fmt::Write as _;

use super::scene::Anchor;
use super::scene::EDGE;
use super::scene::Mark;
use super::scene::Place;
use super::scene::Scene;
use super::scene::Shape;

const FONTS: &str = "Roboto, 'Helvetica Neue', Arial, sans-serif";

impl Scene {
    /// The picture as an SVG file of its own.
    pub fn to_svg(&self) -> String {
        self.to_svg_within("")
    }

    /// The picture as a part of a page, on which every picture has a `name` of its own.
    pub fn to_svg_within(&self, name: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{name}title {name}desc\" \
             font-family=\"{FONTS}\">\n"
        );
        let _ = writeln!(svg, "<title id=\"{name}title\">{}</title>", escaped(&self.title));
        let _ = writeln!(svg, "<desc id=\"{name}desc\">{}</desc>", escaped(&self.description));
        svg.push_str("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        self.shapes.iter().for_each(|shape| write(&mut svg, shape));
        svg.push_str("</svg>\n");
        svg
    }
}

fn write(svg: &mut String, Shape { class, mark }: &Shape) {
    let _ = match mark {
        Mark::Lines { lines, colour, width } => {
            let d: String = lines.iter().map(|line| path(line)).collect();
            writeln!(
                svg,
                "<path class=\"{class}\" d=\"{d}\" fill=\"none\" stroke=\"#{colour:06x}\" \
                 stroke-width=\"{width}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>"
            )
        }
        Mark::Areas { borders, colour, opacity } => {
            let d: String = borders.iter().map(|border| path(border) + "Z").collect();
            writeln!(
                svg,
                "<path class=\"{class}\" d=\"{d}\" fill=\"#{colour:06x}\" fill-opacity=\"{opacity}\"/>"
            )
        }
        Mark::Dots { dots, radius, colour, edge } => {
            let edge = edge.map_or(String::new(), |edge| {
                format!(" stroke=\"#{edge:06x}\" stroke-width=\"{EDGE}\"")
            });
            let _ = write!(svg, "<g class=\"{class}\" fill=\"#{colour:06x}\"{edge}>");
            for dot in dots {
                let (x, y) = (number(dot.at.0), number(dot.at.1));
                let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"");
                let _ = match &dot.note {
                    Some(note) => write!(svg, "><title>{}</title></circle>", escaped(note)),
                    None => svg.write_str("/>"),
                };
            }
            writeln!(svg, "</g>")
        }
        Mark::Text { at, size, anchor, colour, text } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (x, y) = (number(at.0), number(at.1));
            writeln!(
                svg,
                "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\" \
                 fill=\"#{colour:06x}\"{anchor}>{}</text>",
                escaped(text)
            )
        }
    };
}

/// `M` and the places; the commands between them go without saying.
fn path(places: &[Place]) -> String {
    let mut d = String::new();
    for (i, (x, y)) in places.iter().enumerate() {
        let before = if i == 0 { 'M' } else { ' ' };
        let _ = write!(d, "{before}{} {}", number(*x), number(*y));
    }
    d
}

/// A tenth of a pixel is more than one sees.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), String::from)
}

/// A text between tags or quotes of XML or HTML. XML has no control characters, not even escaped ones.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push(' ')
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_names_cannot_break_out() {
        assert_eq!([1.0, 0.26, -3.04].map(number), ["1", "0.3", "-3"]);
        assert_eq!(escaped("a<b>&\"c\"\u{1}"), "a&lt;b&gt;&amp;&quot;c&quot; ");
        let scene = Scene::new(10.0, 20.0, "</title>", String::new());
        let svg = scene.to_svg();
        assert!(svg.contains("<title id=\"title\">&lt;/title&gt;</title>"), "{svg}");
    }
}
