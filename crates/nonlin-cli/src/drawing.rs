//! Lines, rectangles and letters on a white sheet, as SVG and as PNG.
//!
//! The PNG's letters come from a font inside the program (DejaVu Sans), so that it looks the
//! same on a machine without fonts. The SVG names that font and leaves letters as text.

use std::fmt::{self, Write};

use anyhow::{Context, Result};
use tiny_skia::{
    Color, FillRule, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash,
    Transform,
};
use ttf_parser::{Face, OutlineBuilder};

/// Pixels of the PNG per unit of the drawing.
const SCALE: f32 = 2.0;

/// Red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Rgb(pub u32);

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:06x}", self.0)
    }
}

/// What a line is drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Pen {
    /// Its colour.
    pub color: Rgb,
    /// Its width.
    pub width: f64,
    /// Lengths of dashes and gaps, in turn; none for an unbroken line.
    pub dashes: &'static [f32],
}

impl Pen {
    /// A thin unbroken line.
    #[must_use]
    pub const fn thin(color: u32) -> Self {
        Pen { color: Rgb(color), width: 1.0, dashes: &[] }
    }
}

impl fmt::Display for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stroke=\"{}\"", self.color)?;
        if self.width != 1.0 {
            write!(f, " stroke-width=\"{}\"", self.width)?;
        }
        if !self.dashes.is_empty() {
            let dashes: Vec<String> = self.dashes.iter().map(f32::to_string).collect();
            write!(f, " stroke-dasharray=\"{}\"", dashes.join(" "))?;
        }
        Ok(())
    }
}

/// A rectangle, y downwards.
#[derive(Clone, Copy, Debug)]
pub struct Rect {
    /// Its left end.
    pub left: f64,
    /// Its upper end.
    pub top: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

impl Rect {
    /// Its right end.
    #[must_use]
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    /// Its lower end.
    #[must_use]
    pub fn bottom(self) -> f64 {
        self.top + self.height
    }

    /// Whether a point lies in it.
    #[must_use]
    pub fn contains(self, (x, y): (f64, f64)) -> bool {
        (self.left..=self.right()).contains(&x) && (self.top..=self.bottom()).contains(&y)
    }

    fn path(self) -> Option<Path> {
        let [left, top, width, height] =
            [self.left, self.top, self.width, self.height].map(|v| v as f32);
        Some(PathBuilder::from_rect(tiny_skia::Rect::from_xywh(left, top, width, height)?))
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rect { left, top, width, height } = self;
        write!(f, "x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"")
    }
}

/// Which point of a text is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Where it begins.
    Start,
    /// Its middle.
    Middle,
    /// Where it ends.
    End,
}

/// One thing on the sheet.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A rectangle with an outline, filled with white if `filled`.
    Box {
        /// Where.
        at: Rect,
        /// The outline.
        outline: Pen,
        /// Whether what lies below is covered.
        filled: bool,
    },
    /// A line from one point to another.
    Line((f64, f64), (f64, f64), Pen),
    /// Lines through points, each list a line of its own, within a rectangle.
    Curve {
        /// What is seen.
        within: Rect,
        /// The lines.
        pieces: Vec<Vec<(f64, f64)>>,
        /// What they are drawn with.
        pen: Pen,
    },
    /// Letters.
    Text {
        /// Where, on the line that they stand on.
        at: (f64, f64),
        /// Which point of the text that is.
        anchor: Anchor,
        /// Whether it runs upwards.
        upwards: bool,
        /// The size of the font.
        size: f64,
        /// Their colour.
        color: Rgb,
        /// What is written.
        text: String,
    },
}

/// A white sheet with shapes, in the order in which they are drawn.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// From left to right, in units.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
    /// What is on it.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// The drawing as an SVG document.
    ///
    /// # Errors
    ///
    /// None that a caller can cause.
    pub fn svg(&self) -> Result<String> {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Verdana, Helvetica, \
             Arial, sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" \
             fill=\"#ffffff\"/>\n"
        );
        for (i, shape) in self.shapes.iter().enumerate() {
            match shape {
                Shape::Box { at, outline, filled } => {
                    let fill = if *filled { "#ffffff" } else { "none" };
                    writeln!(svg, "<rect {at} fill=\"{fill}\" {outline}/>")?;
                }
                Shape::Line((x1, y1), (x2, y2), pen) => writeln!(
                    svg,
                    "<line x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\" {pen}/>"
                )?,
                Shape::Curve { within, pieces, pen } => {
                    let mut path = String::new();
                    for piece in pieces {
                        for (k, (x, y)) in piece.iter().enumerate() {
                            write!(path, "{}{x:.2} {y:.2}", if k == 0 { 'M' } else { 'L' })?;
                        }
                    }
                    writeln!(
                        svg,
                        "<clipPath id=\"c{i}\"><rect {within}/></clipPath>\n<path \
                         clip-path=\"url(#c{i})\" fill=\"none\" stroke-linejoin=\"round\" {pen} \
                         d=\"{path}\"/>"
                    )?;
                }
                Shape::Text { at: (x, y), anchor, upwards, size, color, text } => {
                    let place = if *upwards {
                        format!("transform=\"translate({x:.2} {y:.2}) rotate(-90)\"")
                    } else {
                        format!("x=\"{x:.2}\" y=\"{y:.2}\"")
                    };
                    let anchor = match anchor {
                        Anchor::Start => "",
                        Anchor::Middle => " text-anchor=\"middle\"",
                        Anchor::End => " text-anchor=\"end\"",
                    };
                    let size = (size * 100.0).round() / 100.0;
                    writeln!(
                        svg,
                        "<text {place}{anchor} font-size=\"{size}\" fill=\"{color}\">{}</text>",
                        escape(text)
                    )?;
                }
            }
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// The drawing as a PNG file with two pixels per unit.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn png(&self) -> Result<Vec<u8>> {
        let font = Font::new()?;
        let pixels = |units: f64| (units * f64::from(SCALE)) as u32;
        let (width, height) = (pixels(self.width), pixels(self.height));
        let mut sheet = Pixmap::new(width, height).context("no memory")?;
        sheet.fill(Color::WHITE);
        let scale = Transform::from_scale(SCALE, SCALE);
        for shape in &self.shapes {
            match shape {
                Shape::Box { at, outline, filled } => {
                    let Some(path) = at.path() else { continue };
                    if *filled {
                        let white = paint(Rgb(0xff_ffff));
                        sheet.fill_path(&path, &white, FillRule::Winding, scale, None);
                    }
                    draw(&mut sheet, &path, *outline, None);
                }
                Shape::Line(from, to, pen) => {
                    if let Some(path) = line(&[vec![*from, *to]]) {
                        draw(&mut sheet, &path, *pen, None);
                    }
                }
                Shape::Curve { within, pieces, pen } => {
                    let (Some(path), Some(inside)) = (line(pieces), within.path()) else {
                        continue;
                    };
                    let mut mask = Mask::new(width, height).context("no memory")?;
                    mask.fill_path(&inside, FillRule::Winding, true, scale);
                    draw(&mut sheet, &path, *pen, Some(&mask));
                }
                Shape::Text { at: (x, y), anchor, upwards, size, color, text } => {
                    let before = match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => font.width(text, *size) / 2.0,
                        Anchor::End => font.width(text, *size),
                    };
                    let Some(path) = font.outline(text, *size) else { continue };
                    let place = Transform::from_translate(-before as f32, 0.0)
                        .post_rotate(if *upwards { -90.0 } else { 0.0 })
                        .post_translate(*x as f32, *y as f32)
                        .post_scale(SCALE, SCALE);
                    sheet.fill_path(&path, &paint(*color), FillRule::Winding, place, None);
                }
            }
        }
        sheet.encode_png().context("the PNG")
    }
}

fn paint(Rgb(color): Rgb) -> Paint<'static> {
    let [_, red, green, blue] = color.to_be_bytes();
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

/// Lines through points; `None` if there are none.
fn line(pieces: &[Vec<(f64, f64)>]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for piece in pieces {
        for (k, &(x, y)) in piece.iter().enumerate() {
            let (x, y) = (x as f32, y as f32);
            if k == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
    }
    path.finish()
}

fn draw(sheet: &mut Pixmap, path: &Path, pen: Pen, mask: Option<&Mask>) {
    let stroke = Stroke {
        width: pen.width as f32,
        line_join: LineJoin::Round,
        dash: StrokeDash::new(pen.dashes.to_vec(), 0.0),
        ..Stroke::default()
    };
    let scale = Transform::from_scale(SCALE, SCALE);
    sheet.stroke_path(path, &paint(pen.color), &stroke, scale, mask);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The font inside the program.
pub struct Font(Face<'static>);

impl Font {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// None: it is there.
    pub fn new() -> Result<Self> {
        Ok(Font(Face::parse(dejavu::sans::regular(), 0).context("the built-in font")?))
    }

    fn unit(&self, size: f64) -> f64 {
        size / f64::from(self.0.units_per_em())
    }

    fn advance(&self, c: char) -> f64 {
        self.0.glyph_index(c).and_then(|g| self.0.glyph_hor_advance(g)).map_or(0.0, f64::from)
    }

    /// The width of a text. A letter that the font lacks has none, and is not drawn.
    #[must_use]
    pub fn width(&self, text: &str, size: f64) -> f64 {
        text.chars().map(|c| self.advance(c)).sum::<f64>() * self.unit(size)
    }

    /// The letters of a text that begins at the origin; `None` if nothing is to be drawn.
    fn outline(&self, text: &str, size: f64) -> Option<Path> {
        let unit = self.unit(size);
        let mut outline = Outline { path: PathBuilder::new(), unit: unit as f32, x: 0.0 };
        let mut x = 0.0;
        for c in text.chars() {
            outline.x = (x * unit) as f32;
            if let Some(glyph) = self.0.glyph_index(c) {
                self.0.outline_glyph(glyph, &mut outline);
            }
            x += self.advance(c);
        }
        outline.path.finish()
    }
}

/// A path of letters; the font's y points upwards.
struct Outline {
    path: PathBuilder,
    unit: f32,
    x: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (x.mul_add(self.unit, self.x), -y * self.unit)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.path.close();
    }
}
