//! Figures of several curves.

use anyhow::{Context, Result, ensure};

use crate::drawing::{Anchor, Drawing, Font, Pen, Rect, Rgb, Shape};
use crate::ticks::{label, ticks};

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 500.0;
/// Okabe and Ito's colours, told apart with every kind of colour vision; yellow, too faint on
/// white, is left out. After the last, dashes begin.
const COLORS: [u32; 7] =
    [0x00_72b2, 0xd5_5e00, 0x00_9e73, 0xcc_79a7, 0xe6_9f00, 0x56_b4e9, 0x00_0000];
const DASHES: [&[f32]; 4] = [&[], &[7.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];
/// Beyond this distance from the figure a point is as good as infinitely far.
const FAR: f64 = 1e5;
const SMALL: f64 = 12.0;
const LINE: f64 = 20.0;
/// Legends with more lines stand beside the axes.
const MOST_INSIDE: usize = 8;

/// A line of the figure. A point that is not finite interrupts it.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What the legend calls the curve.
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
        self.drawing()?.svg()
    }

    /// The figure as a PNG file of 1600 by 1000 pixels.
    ///
    /// # Errors
    ///
    /// Those of [`Figure::svg`].
    pub fn png(&self) -> Result<Vec<u8>> {
        self.drawing()?.png()
    }

    fn drawing(&self) -> Result<Drawing> {
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

        let font = Font::new()?;
        let y_ticks = ticks(y0, y1, 6);
        let widest = y_ticks.values.iter().map(|&v| font.width(&label(v, &y_ticks), SMALL));
        let left = 44.0 + widest.fold(0.0, f64::max);
        let area =
            Rect { left, top: 48.0, width: WIDTH - left - 24.0, height: HEIGHT - 48.0 - 58.0 };
        let mut axes = Axes { area, x: (x0, x1), y: (y0, y1) };

        let labels = self.curves.iter().map(|c| font.width(&c.label, SMALL));
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

        let mut shapes = self.axes(&axes);
        shapes.extend(self.lines(&axes));
        if let Some(place) = legend {
            shapes.extend(self.legend(place));
        }
        Ok(Drawing { width: WIDTH, height: HEIGHT, shapes })
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

    /// Title, grid, ticks, frame and labels.
    fn axes(&self, axes: &Axes) -> Vec<Shape> {
        let Rect { left, top, width, height } = axes.area;
        let (right, bottom) = (axes.area.right(), axes.area.bottom());
        let text = |at, anchor, size, color, text: &str| Shape::Text {
            at,
            anchor,
            upwards: false,
            size,
            color: Rgb(color),
            text: text.to_owned(),
        };
        let mut shapes = vec![text((left, 30.0), Anchor::Start, 17.0, 0x22_2222, &self.title)];
        let mut zeros = Vec::new();
        for (along_x, (low, high), most) in [(true, axes.x, 10), (false, axes.y, 6)] {
            let marks = ticks(low, high, most);
            for &v in &marks.values {
                let (from, to, at, anchor) = if along_x {
                    let x = axes.x(v);
                    ((x, top), (x, bottom), (x, bottom + 18.0), Anchor::Middle)
                } else {
                    let y = axes.y(v);
                    ((left, y), (right, y), (left - 8.0, y + 4.3), Anchor::End)
                };
                if v == 0.0 {
                    zeros.push(Shape::Line(from, to, Pen::thin(0x8c_8c8c)));
                } else {
                    shapes.push(Shape::Line(from, to, Pen::thin(0xe4_e4e4)));
                }
                shapes.push(text(at, anchor, SMALL, 0x55_5555, &label(v, &marks)));
            }
        }
        shapes.append(&mut zeros);
        shapes.push(Shape::Box { at: axes.area, outline: Pen::thin(0xc4_c4c4), filled: false });
        let below = (left + width / 2.0, bottom + 42.0);
        shapes.push(text(below, Anchor::Middle, 13.0, 0x33_3333, &self.x_label));
        shapes.push(Shape::Text {
            at: (22.0, top + height / 2.0),
            anchor: Anchor::Middle,
            upwards: true,
            size: 13.0,
            color: Rgb(0x33_3333),
            text: self.y_label.clone(),
        });
        shapes
    }

    /// The curves.
    fn lines<'a>(&'a self, axes: &'a Axes) -> impl Iterator<Item = Shape> + 'a {
        self.curves.iter().enumerate().map(|(i, curve)| {
            let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
            let pieces = curve.points.chunk_by(|a, b| finite(a) == finite(b));
            let pieces = pieces.filter(|piece| finite(&piece[0]));
            let place = |&(x, y): &(f64, f64)| (axes.x(x), axes.y(y));
            Shape::Curve {
                within: axes.area,
                pieces: pieces.map(|piece| piece.iter().map(place).collect()).collect(),
                pen: pen(i),
            }
        })
    }

    fn legend(&self, place: Rect) -> Vec<Shape> {
        let line = self.line();
        let size = SMALL * line / LINE;
        let mut shapes =
            vec![Shape::Box { at: place, outline: Pen::thin(0xd8_d8d8), filled: true }];
        for (i, curve) in self.curves.iter().enumerate() {
            let y = place.top + 4.0 + line * (i as f64 + 0.5);
            shapes.push(Shape::Line((place.left + 9.0, y), (place.left + 33.0, y), pen(i)));
            shapes.push(Shape::Text {
                at: (place.left + 41.0, y + size * 0.36),
                anchor: Anchor::Start,
                upwards: false,
                size,
                color: Rgb(0x22_2222),
                text: curve.label.clone(),
            });
        }
        shapes
    }
}

/// What the curve at `i` is drawn with.
fn pen(i: usize) -> Pen {
    let dashes = DASHES[i / COLORS.len() % DASHES.len()];
    Pen { color: Rgb(COLORS[i % COLORS.len()]), width: 2.2, dashes }
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
