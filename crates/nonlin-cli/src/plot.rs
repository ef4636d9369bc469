//! Figures of several curves as SVG, and as PNG drawn from that SVG.
//!
//! The PNG's letters come from a font inside the program (DejaVu Sans), so that it looks the
//! same on a machine without fonts. The SVG names that font and leaves letters as text.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{Options, Tree};
use ttf_parser::Face;

use crate::ticks::{label, ticks};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 500.0;
/// Pixels of the PNG per unit of the figure.
const SCALE: f32 = 2.0;
/// Okabe and Ito's colours, told apart with every kind of colour vision; yellow, too faint on
/// white, is left out. After the last, dashes begin.
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const DASHES: [&str; 4] = ["", "7 4", "2 3", "9 3 2 3"];
/// Beyond this distance from the figure a point is as good as infinitely far.
const FAR: f64 = 1e5;
const SMALL: f64 = 12.0;
const LINE: f64 = 20.0;
/// Legends with more lines stand beside the axes.
const MOST_INSIDE: usize = 8;

/// A line of the figure. A point that is not finite interrupts it.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its line in the legend.
    pub label: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Curves in common axes, 800 by 500 units.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Above the axes.
    pub title: String,
    /// Below the axes.
    pub x_label: String,
    /// Left of the axes.
    pub y_label: String,
    /// Left and right end.
    pub x_range: (f64, f64),
    /// Lower and upper end; what the curves need if absent.
    pub y_range: Option<(f64, f64)>,
    /// Each in its own colour; a legend from two curves on.
    pub curves: Vec<Curve>,
}

/// A rectangle of the figure, y downwards.
#[derive(Clone, Copy, Debug)]
struct Rect {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Rect {
    fn right(self) -> f64 {
        self.left + self.width
    }

    fn bottom(self) -> f64 {
        self.top + self.height
    }

    fn contains(self, (x, y): (f64, f64)) -> bool {
        (self.left..=self.right()).contains(&x) && (self.top..=self.bottom()).contains(&y)
    }
}

/// The axes: where they are and what they show.
struct Axes {
    area: Rect,
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn x(&self, x: f64) -> f64 {
        let at = self.area.left + (x - self.x.0) / (self.x.1 - self.x.0) * self.area.width;
        at.clamp(-FAR, FAR)
    }

    fn y(&self, y: f64) -> f64 {
        let at = self.area.bottom() - (y - self.y.0) / (self.y.1 - self.y.0) * self.area.height;
        at.clamp(-FAR, FAR)
    }
}

impl Figure {
    /// The figure as an SVG document.
    ///
    /// # Errors
    ///
    /// A range is empty or not finite, or no point of any curve is finite.
    pub fn svg(&self) -> Result<String> {
        let (x0, x1) = self.x_range;
        ensure!(
            x0 < x1 && (x1 - x0).is_finite(),
            "range {x0}:{x1} is not an interval; the left end must be below the right one"
        );
        let (y0, y1) = match self.y_range {
            Some(range) => range,
            None => self.needed().context("nothing to plot: no value is finite in this range")?,
        };
        ensure!(y0 < y1 && (y1 - y0).is_finite(), "values from {y0} to {y1} fit no axis");

        let face = Face::parse(dejavu::sans::regular(), 0).context("the built-in font")?;
        let y_ticks = ticks(y0, y1, 6);
        let widest = y_ticks.values.iter().map(|&v| text_width(&face, &label(v, &y_ticks), SMALL));
        let left = 44.0 + widest.fold(0.0, f64::max);
        let area =
            Rect { left, top: 48.0, width: WIDTH - left - 24.0, height: HEIGHT - 48.0 - 58.0 };
        let mut axes = Axes { area, x: (x0, x1), y: (y0, y1) };

        let labels = self.curves.iter().map(|c| text_width(&face, &c.label, SMALL));
        let (line, lines) = (self.line(), self.curves.len() as f64);
        let widest = labels.fold(0.0, f64::max) * (line / LINE);
        let size = (widest + 50.0, line * lines + 8.0);
        let mut legend = None;
        if self.curves.len() > 1 {
            legend = self.free_place(&axes, size);
            if legend.is_none() {
                axes.area.width = (axes.area.width - size.0 - 4.0).max(200.0);
                let (left, top) = (axes.area.right() + 12.0, axes.area.top);
                legend = Some(Rect { left, top, width: size.0, height: size.1 });
            }
        }

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"DejaVu Sans, Verdana, Helvetica, \
             Arial, sans-serif\" font-size=\"{SMALL}\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        self.draw(&mut svg, &axes)?;
        if let Some(place) = legend {
            self.draw_legend(&mut svg, place)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// The figure as a PNG file of 1600 by 1000 pixels.
    ///
    /// # Errors
    ///
    /// Those of [`Figure::svg`].
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut fonts = Database::new();
        fonts.load_font_source(Source::Binary(Arc::new(dejavu::sans::regular())));
        let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
        let tree = Tree::from_str(&self.svg()?, &options).context("the figure")?;
        let size = tree.size();
        let (width, height) = (size.width() * SCALE, size.height() * SCALE);
        let mut pixmap = Pixmap::new(width as u32, height as u32).context("no memory")?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
        pixmap.encode_png().context("the PNG")
    }

    /// The values that the curves take in the range of x, with a margin.
    fn needed(&self) -> Option<(f64, f64)> {
        let points = self.curves.iter().flat_map(|c| &c.points);
        let inside = points.filter(|p| (self.x_range.0..=self.x_range.1).contains(&p.0));
        let values = inside.map(|p| p.1).filter(|y| y.is_finite());
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), y| (a.min(y), b.max(y)));
        let span = high - low;
        match span {
            _ if low > high => None,
            // A constant, up to rounding, in the middle.
            _ if span <= low.abs().max(high.abs()) * 1e-9 => {
                let margin = low.abs().max(1.0) / 2.0;
                Some((low - margin, high + margin))
            }
            _ => Some((low - span * 0.05, high + span * 0.05)),
        }
    }

    /// The height of a line of the legend, less where many must fit.
    fn line(&self) -> f64 {
        LINE.min((HEIGHT - 70.0) / self.curves.len() as f64)
    }

    /// A place for the legend inside the axes that no curve crosses.
    fn free_place(&self, axes: &Axes, (width, height): (f64, f64)) -> Option<Rect> {
        let area = axes.area;
        if self.curves.len() > MOST_INSIDE || width > area.width / 2.0 {
            return None;
        }
        let free = (area.width - width - 24.0, area.height - height - 24.0);
        let places = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.5), (0.0, 0.5)];
        let at = |(x, y): (f64, f64)| Rect {
            left: area.left + 12.0 + free.0 * x,
            top: area.top + 12.0 + free.1 * y,
            width,
            height,
        };
        let crossed = |place: Rect| {
            // A little larger, so that lines do not touch the frame.
            let wide = Rect {
                left: place.left - 6.0,
                top: place.top - 6.0,
                width: width + 12.0,
                height: height + 12.0,
            };
            let at = |&(x, y): &(f64, f64)| (axes.x(x), axes.y(y));
            self.curves.iter().any(|curve| {
                curve.points.windows(2).any(|pair| {
                    let (a, b) = (at(&pair[0]), at(&pair[1]));
                    // Long segments are looked at every few units.
                    let steps = ((b.0 - a.0).abs().max((b.1 - a.1).abs()) / 8.0).ceil();
                    let steps = if steps.is_finite() { steps.clamp(1.0, 200.0) } else { 1.0 };
                    (0..=steps as u32).any(|i| {
                        let t = f64::from(i) / steps;
                        wide.contains((a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t))
                    })
                })
            })
        };
        places.into_iter().map(at).find(|&place| !crossed(place))
    }

    fn draw(&self, svg: &mut String, axes: &Axes) -> Result<()> {
        let Rect { left, top, width, height } = axes.area;
        let (right, bottom) = (axes.area.right(), axes.area.bottom());
        writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"30\" font-size=\"17\" fill=\"#222222\">{}</text>",
            escape(&self.title)
        )?;
        let mut zeros = String::new();
        for (along_x, (low, high), most) in [(true, axes.x, 10), (false, axes.y, 6)] {
            let marks = ticks(low, high, most);
            for &v in &marks.values {
                let (at, text) = if along_x {
                    let x = axes.x(v);
                    (
                        format!("x1=\"{x:.2}\" y1=\"{top:.2}\" x2=\"{x:.2}\" y2=\"{bottom:.2}\""),
                        format!("x=\"{x:.2}\" y=\"{:.2}\" text-anchor=\"middle\"", bottom + 18.0),
                    )
                } else {
                    let y = axes.y(v);
                    (
                        format!("x1=\"{left:.2}\" y1=\"{y:.2}\" x2=\"{right:.2}\" y2=\"{y:.2}\""),
                        format!("x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"end\"", left - 8.0, y + 4.3),
                    )
                };
                if v == 0.0 {
                    writeln!(zeros, "<line {at} stroke=\"#8c8c8c\"/>")?;
                } else {
                    writeln!(svg, "<line {at} stroke=\"#e4e4e4\"/>")?;
                }
                writeln!(svg, "<text {text} fill=\"#555555\">{}</text>", label(v, &marks))?;
            }
        }
        svg.push_str(&zeros);
        let frame =
            format!("x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"");
        writeln!(svg, "<rect {frame} fill=\"none\" stroke=\"#c4c4c4\"/>")?;
        writeln!(
            svg,
            "<text x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"middle\" font-size=\"13\" \
             fill=\"#333333\">{}</text>",
            left + width / 2.0,
            bottom + 42.0,
            escape(&self.x_label)
        )?;
        writeln!(
            svg,
            "<text transform=\"translate(22 {:.2}) rotate(-90)\" text-anchor=\"middle\" \
             font-size=\"13\" fill=\"#333333\">{}</text>",
            top + height / 2.0,
            escape(&self.y_label)
        )?;
        writeln!(svg, "<clipPath id=\"axes\"><rect {frame}/></clipPath>")?;
        writeln!(
            svg,
            "<g clip-path=\"url(#axes)\" fill=\"none\" stroke-width=\"2.2\" \
             stroke-linejoin=\"round\">"
        )?;
        for (i, curve) in self.curves.iter().enumerate() {
            let (mut path, mut pen) = (String::new(), 'M');
            for &(x, y) in &curve.points {
                if x.is_finite() && y.is_finite() {
                    write!(path, "{pen}{:.2} {:.2}", axes.x(x), axes.y(y))?;
                    pen = 'L';
                } else {
                    pen = 'M';
                }
            }
            writeln!(svg, "<path {} d=\"{path}\"/>", stroke(i))?;
        }
        svg.push_str("</g>\n");
        Ok(())
    }

    fn draw_legend(&self, svg: &mut String, place: Rect) -> Result<()> {
        let Rect { left, top, width, height } = place;
        let line = self.line();
        let size = SMALL * line / LINE;
        writeln!(
            svg,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
             rx=\"3\" fill=\"#ffffff\" stroke=\"#d8d8d8\"/>"
        )?;
        for (i, curve) in self.curves.iter().enumerate() {
            let y = top + 4.0 + line * (i as f64 + 0.5);
            writeln!(
                svg,
                "<line x1=\"{:.2}\" y1=\"{y:.2}\" x2=\"{:.2}\" y2=\"{y:.2}\" \
                 stroke-width=\"2.2\" {}/>",
                left + 9.0,
                left + 33.0,
                stroke(i)
            )?;
            writeln!(
                svg,
                "<text x=\"{:.2}\" y=\"{:.2}\" font-size=\"{size:.2}\" fill=\"#222222\">{}</text>",
                left + 41.0,
                y + size * 0.36,
                escape(&curve.label)
            )?;
        }
        Ok(())
    }
}

fn stroke(i: usize) -> String {
    let color = COLORS[i % COLORS.len()];
    match DASHES[i / COLORS.len() % DASHES.len()] {
        "" => format!("stroke=\"{color}\""),
        dash => format!("stroke=\"{color}\" stroke-dasharray=\"{dash}\""),
    }
}

fn text_width(face: &Face, text: &str, size: f64) -> f64 {
    let advance = |c| face.glyph_hor_advance(face.glyph_index(c)?);
    let units: f64 = text.chars().map(|c| f64::from(advance(c).unwrap_or(0))).sum();
    units / f64::from(face.units_per_em()) * size
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(label: &str, f: impl Fn(f64) -> f64) -> Curve {
        let points = (0..=800).map(|i| f64::from(i) / 100.0 - 4.0).map(|x| (x, f(x))).collect();
        Curve { label: label.to_owned(), points }
    }

    fn figure(curves: Vec<Curve>) -> Figure {
        Figure {
            title: "<tanh> & others".to_owned(),
            x_label: "x".to_owned(),
            y_label: "f(x)".to_owned(),
            x_range: (-4.0, 4.0),
            y_range: None,
            curves,
        }
    }

    #[test]
    fn svg_has_what_was_asked() {
        let svg = figure(vec![curve("tanh", f64::tanh), curve("a < b", |x| x.max(0.0))]);
        let svg = svg.svg().unwrap();
        assert!(svg.contains("&lt;tanh&gt; &amp; others") && svg.contains(">a &lt; b<"));
        assert_eq!(svg.matches("<path ").count(), 2);
        assert!(svg.contains(">−4<") && svg.contains(">4<"));
        let alone = figure(vec![curve("tanh", f64::tanh)]).svg().unwrap();
        assert!(!alone.contains(">tanh<"), "a legend for a single curve");
    }

    #[test]
    fn breaks_lift_the_pen() {
        let svg = figure(vec![curve("1/x", |x| if x == 0.0 { f64::NAN } else { 1.0 / x })]);
        let svg = svg.svg().unwrap();
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn extremes_are_errors_or_fit() {
        assert!(figure(vec![curve("nan", |_| f64::NAN)]).svg().is_err());
        assert!(figure(vec![curve("huge", |x| x * 1e308)]).svg().is_err());
        assert!(figure(vec![]).svg().is_err());
        assert!(Figure { x_range: (1.0, 1.0), ..figure(vec![]) }.svg().is_err());
        assert!(Figure { x_range: (f64::NAN, 1.0), ..figure(vec![]) }.svg().is_err());
        for f in [|_| 3.0, |x| x * 1e-300, |x| x * 1e300, |x: f64| 1e9 + x * 1e-3] {
            let svg = figure(vec![curve("f", f)]).svg().unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn many_curves_have_a_legend_beside() {
        let curves = (1..=24).map(|i| curve(&format!("scale {i}"), move |x| x * f64::from(i)));
        let svg = figure(curves.collect()).svg().unwrap();
        assert_eq!(svg.matches("scale ").count(), 24);
        assert!(svg.contains("stroke-dasharray"));
    }

    #[test]
    fn png_has_letters_without_fonts_of_the_system() {
        let draw = |title: &str| {
            Figure { title: title.to_owned(), ..figure(vec![curve("tanh", f64::tanh)]) }.png()
        };
        let (with, without) = (draw("tanh").unwrap(), draw("").unwrap());
        assert!(with.starts_with(b"\x89PNG"));
        assert_ne!(with, without);
    }
}
