//! A function and its slope as a small SVG inside the documentation: colours that light and dark
//! pages both show, text in the page's own colour.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 470.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 226.0;
/// The colours of the function and of its slope.
const COLORS: [&str; 2] = ["#3b82f6", "#e8710a"];

/// A point, absent where the curve is interrupted.
type Point = Option<(f64, f64)>;

/// The SVG of both curves of `nonlin show --json`, as a block of Markdown.
///
/// # Errors
/// There are no points.
pub fn curves(section: &str, curve: &Value) -> Result<String> {
    let curves = [points(&curve["value"])?, points(&curve["slope"])?];
    let all = || curves.iter().flatten().flatten();
    let (x0, x1) = ends(all().map(|p| p.0)).context("no points")?;
    let (low, high) = ends(all().map(|p| p.1)).context("no points")?;
    ensure!(x0 < x1 && low < high, "an empty range");
    let margin = (high - low) * 0.04;
    let (y0, y1) = (low - margin, high + margin);
    let x = |v: f64| LEFT + (v - x0) / (x1 - x0) * (RIGHT - LEFT);
    let y = |v: f64| BOTTOM - (v - y0) / (y1 - y0) * (BOTTOM - TOP);

    let mut svg = format!(
        "<div>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" role=\"img\" aria-label=\"f and its slope from {x0} to {x1}\" \
         style=\"max-width:100%;height:auto\" font-size=\"11\" fill=\"none\">\n"
    );
    let step = step(x1 - x0, 12.0);
    for v in multiples(step, x0, x1) {
        let (at, heavy) = (x(v), if v == 0.0 { 0.55 } else { 0.15 });
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"currentColor\" stroke-opacity=\"{heavy}\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"currentColor\">{}</text>",
            BOTTOM + 15.0,
            label(v)
        );
    }
    for v in multiples(self::step(y1 - y0, 6.0), y0, y1) {
        let (at, heavy) = (y(v), if v == 0.0 { 0.55 } else { 0.15 });
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"currentColor\" stroke-opacity=\"{heavy}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"currentColor\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            label(v)
        );
    }
    let names = [format!("f{section}"), format!("f′{section}")];
    // The slope first, so that the function lies on top.
    for i in [1, 0] {
        let dash = if i == 1 { " stroke-dasharray=\"6 3\"" } else { "" };
        let (color, at) = (COLORS[i], LEFT + 110.0 * i as f64);
        let path = path(&curves[i], |(a, b)| (x(a), y(b)));
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" stroke=\"{color}\" stroke-width=\"2\"{dash}/>\
             <path d=\"M{at} 12h24\" stroke=\"{color}\" stroke-width=\"2\"{dash}/>\
             <text x=\"{}\" y=\"16\" font-size=\"12\" fill=\"currentColor\">{}</text>",
            at + 30.0,
            names[i]
        );
    }
    svg.push_str("</svg>\n</div>\n");
    Ok(svg)
}

fn points(list: &Value) -> Result<Vec<Point>> {
    let list = list.as_array().context("the points of a curve")?;
    Ok(list.iter().map(|p| Some((p[0].as_f64()?, p[1].as_f64()?))).collect())
}

/// The least and the greatest.
fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, v| match ends {
        None => Some((v, v)),
        Some((a, b)) => Some((v.min(a), v.max(b))),
    })
}

/// 1, 2 or 5 times a power of ten, so that `span` has about `most` of it.
fn step(span: f64, most: f64) -> f64 {
    let power = 10f64.powf((span / most).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power * most >= span * 0.999);
    power * factor.unwrap_or(10.0)
}

/// The multiples of `step` from `low` to `high`.
fn multiples(step: f64, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - 1e-9).ceil() as i32, (high / step + 1e-9).floor() as i32);
    (first..=last).map(move |i| f64::from(i) * step)
}

fn label(v: f64) -> String {
    let text = format!("{v:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.replace('-', "−")
}

/// The path through the points, without those on the straight line between their neighbours.
fn path(points: &[Point], place: impl Fn((f64, f64)) -> (f64, f64)) -> String {
    let mut text = String::new();
    for part in points.split(Option::is_none) {
        let part: Vec<(f64, f64)> = part.iter().flatten().map(|&p| place(p)).collect();
        let mut kept: Vec<usize> = Vec::new();
        for i in 0..part.len() {
            let straight = kept.last().zip(part.get(i + 1)).is_some_and(|(&from, &to)| {
                part[from + 1..=i].iter().all(|&p| off(part[from], to, p) < 0.1)
            });
            if !straight {
                kept.push(i);
            }
        }
        for (i, (x, y)) in kept.into_iter().map(|i| part[i]).enumerate() {
            let _ = write!(text, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
        }
    }
    text
}

/// How far a point is from the straight line through two others.
fn off(from: (f64, f64), to: (f64, f64), p: (f64, f64)) -> f64 {
    let (across, along) = ((to.0 - from.0, to.1 - from.1), (p.0 - from.0, p.1 - from.1));
    (across.0 * along.1 - across.1 * along.0).abs() / across.0.hypot(across.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_lines_are_two_points() {
        let line: Vec<Point> = (0..50).map(|i| Some((f64::from(i), 2.0 * f64::from(i)))).collect();
        assert_eq!(path(&line, |p| p), "M0.0 0.0L49.0 98.0");
        let broken = [Some((0.0, 0.0)), Some((1.0, 0.0)), None, Some((1.0, 1.0)), Some((2.0, 1.0))];
        assert_eq!(path(&broken, |p| p), "M0.0 0.0L1.0 0.0M1.0 1.0L2.0 1.0");
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!((step(12.0, 12.0), step(1.3, 6.0), step(7.0, 6.0)), (1.0, 0.5, 2.0));
        let all: Vec<String> = multiples(0.5, -1.1, 1.2).map(label).collect();
        assert_eq!(all, ["−1", "−0.5", "0", "0.5", "1"]);
    }

    #[test]
    fn both_curves_are_drawn() {
        let curve = serde_json::json!({
            "value": [[-1.0, 0.0], [0.0, 0.0], [1.0, 1.0]],
            "slope": [[-1.0, 0.0], [0.0, 0.0], [0.0, null], [0.0, 1.0], [1.0, 1.0]],
        });
        let svg = curves("(x)", &curve).unwrap();
        assert_eq!(svg.matches("stroke-width=\"2\"").count(), 4);
        assert!(svg.contains("f′(x)") && !svg.contains("\n\n") && !svg.contains("NaN"));
        assert!(curves("(x)", &serde_json::json!({ "value": [], "slope": [] })).is_err());
    }
}
