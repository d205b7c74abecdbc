//! A picture as shapes, before it is a file.
//!
//! Owns: what a picture may be made of. Does not own: what they mean, or how they are written.
//!
//! Lengths are pixels of the SVG from the upper left corner. Every shape has a class, the name of what
//! it shows, which the SVG keeps.

/// A colour without its opacity: `0xrrggbb`.
pub(super) type Colour = u32;

/// A place in pixels.
pub(super) type Place = (f64, f64);

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    /// What it is, in a few words.
    pub(super) title: String,
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    /// Later ones lie above earlier ones.
    pub(super) shapes: Vec<Shape>,
}

/// A part of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) class: &'static str,
    pub(super) mark: Mark,
}

/// What a shape looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mark {
    /// Lines through places, each of at least two.
    Lines { lines: Vec<Vec<Place>>, colour: Colour, width: f64 },
    /// Areas within borders.
    Areas { borders: Vec<Vec<Place>>, colour: Colour, opacity: f64 },
    /// Discs, with a thin edge where it has a colour.
    Dots { dots: Vec<Dot>, radius: f64, colour: Colour, edge: Option<Colour> },
    /// Letters that stand on a place.
    Text { at: Place, size: f64, anchor: Anchor, colour: Colour, text: String },
}

/// A disc's middle, and what the SVG says of it to whoever points there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dot {
    pub(super) at: Place,
    pub(super) note: Option<String>,
}

/// Which part of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How wide the edge of a dot is.
pub(super) const EDGE: f64 = 0.8;

impl Scene {
    pub(super) fn new(width: f64, height: f64, title: &str, description: String) -> Scene {
        Scene { width, height, title: title.to_string(), description, shapes: Vec::new() }
    }

    pub(super) fn lines(
        &mut self,
        class: &'static str,
        lines: Vec<Vec<Place>>,
        colour: Colour,
        width: f64,
    ) {
        self.add(class, Mark::Lines { lines, colour, width });
    }

    pub(super) fn text(
        &mut self,
        class: &'static str,
        at: Place,
        anchor: Anchor,
        style: Style,
        text: impl Into<String>,
    ) {
        let Style { size, colour } = style;
        self.add(class, Mark::Text { at, size, anchor, colour, text: text.into() });
    }

    pub(super) fn add(&mut self, class: &'static str, mark: Mark) {
        let empty = match &mark {
            Mark::Lines { lines, .. } => lines.is_empty(),
            Mark::Areas { borders, .. } => borders.is_empty(),
            Mark::Dots { dots, .. } => dots.is_empty(),
            Mark::Text { text, .. } => text.is_empty(),
        };
        if !empty {
            self.shapes.push(Shape { class, mark });
        }
    }
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) colour: Colour,
}

/// The picture's name.
pub(super) const TITLE: Style = Style { size: 20.0, colour: 0x1a1a1a };
/// What stands below the name.
pub(super) const SUBTITLE: Style = Style { size: 13.0, colour: 0x5c5c5c };
/// At the axes and in the legend.
pub(super) const LABEL: Style = Style { size: 12.5, colour: 0x3c3c3c };
