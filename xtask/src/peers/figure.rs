//! Figures as SVG: bars in panels, and curves with logarithmic axes.

use std::fmt::Write;

/// Okabe and Ito's colours, as in `nonlin plot`, nonlin's first.
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const INK: &str = "#222222";
const PALE: &str = "#767d85";
const GRID: &str = "#d9dde2";
/// Bars of others: work, and what a call costs.
const OTHER: (&str, &str) = ("#8a949e", "#cdd3d9");
const OURS: (&str, &str) = ("#0072b2", "#8fc6e6");

/// A bar: what is added to `work` is the cost of the call.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Whose it is.
    pub label: String,
    /// Whether it is a measurement of nonlin.
    pub ours: bool,
    /// The solid part.
    pub work: f64,
    /// The light part behind it.
    pub call: f64,
}

/// The bars of a function.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above them.
    pub title: String,
    /// A line through them.
    pub mark: Option<f64>,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

fn text(x: f64, y: f64, size: f64, anchor: &str, color: &str, text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
         fill=\"{color}\">{escaped}</text>\n"
    )
}

fn rect(x: f64, y: f64, width: f64, height: f64, color: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>\n",
        width.max(0.5)
    )
}

fn line(from: (f64, f64), to: (f64, f64), color: &str, style: &str) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" {style}/>\n",
        from.0, from.1, to.0, to.1
    )
}

fn document(width: f64, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, \
         sans-serif\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Three digits.
pub fn short(v: f64) -> String {
    match v {
        v if !v.is_finite() => "–".into(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// Panels of bars, each on a scale of its own that the slow ones leave.
pub fn bars(title: &str, subtitle: &str, panels: &[Panel]) -> String {
    const COLUMNS: usize = 4;
    const WIDTH: f64 = 1000.0;
    const STEP: f64 = 15.0;
    const LABEL: f64 = 92.0;
    const VALUE: f64 = 40.0;
    let wide = (WIDTH - 40.0) / COLUMNS as f64;
    let mut body = text(20.0, 26.0, 16.0, "start", INK, title);
    body += &text(20.0, 45.0, 11.0, "start", PALE, subtitle);
    let mut top = 58.0;
    for row in panels.chunks(COLUMNS) {
        let most = row.iter().map(|p| p.bars.len()).max().unwrap_or_default();
        for (column, panel) in row.iter().enumerate() {
            let left = 20.0 + column as f64 * wide;
            body += &text(left + LABEL, top + 14.0, 12.0, "start", INK, &panel.title);
            let length = wide - LABEL - VALUE - 12.0;
            let total = |b: &Bar| b.work + b.call;
            let greatest = panel.bars.iter().map(total).fold(0.0, f64::max);
            let ours = panel.bars.iter().find(|b| b.ours).map_or(greatest, total);
            // Beyond six times ours a bar is cut: its number tells the rest.
            let end = greatest.min(6.0 * ours);
            let at = |v: f64| left + LABEL + length * (v / end).min(1.0);
            let foot = top + 20.0 + STEP * panel.bars.len() as f64;
            body += &line((at(0.0), top + 19.0), (at(0.0), foot), GRID, "");
            let mut words = String::new();
            for (i, bar) in panel.bars.iter().enumerate() {
                let y = top + 20.0 + STEP * i as f64;
                let (solid, light) = if bar.ours { OURS } else { OTHER };
                let ink = if bar.ours { OURS.0 } else { INK };
                body += &text(left + LABEL - 5.0, y + 11.0, 10.0, "end", ink, &bar.label);
                let (work, all) = (at(bar.work), at(total(bar)));
                body += &rect(at(0.0), y + 2.0, work - at(0.0), STEP - 4.0, solid);
                if all > work {
                    body += &rect(work, y + 2.0, all - work, STEP - 4.0, light);
                }
                if total(bar) > end {
                    let cut = at(end) - 9.0;
                    body +=
                        &line((cut, y + STEP), (cut + 5.0, y), "#ffffff", "stroke-width=\"2.5\"");
                }
                words += &text(all + 4.0, y + 11.0, 10.0, "start", ink, &short(total(bar)));
            }
            if let Some(mark) = panel.mark.filter(|m| *m < end) {
                let dashes = "stroke-width=\"1.2\" stroke-dasharray=\"3 2\"";
                body += &line((at(mark), top + 18.0), (at(mark), foot + 2.0), COLORS[1], dashes);
            }
            body += &words; // Above the line.
        }
        top += 20.0 + STEP * most as f64 + 16.0;
    }
    document(WIDTH, top + 4.0, &body)
}

/// A curve: points from left to right.
#[derive(Clone, Debug)]
pub struct Curve {
    /// In the legend.
    pub label: String,
    /// Points of the curve, both coordinates positive.
    pub points: Vec<(f64, f64)>,
    /// Something to compare with.
    pub yardstick: bool,
}

/// Curves in panels side by side with logarithmic axes: bytes to the right, GB/s upwards.
///
/// `marks` are vertical lines with a word each. All panels have the curves in the same order.
pub fn curves(
    title: &str,
    subtitle: &str,
    marks: &[(f64, String)],
    panels: &[(String, Vec<Curve>)],
) -> String {
    const WIDTH: f64 = 1000.0;
    const HEIGHT: f64 = 400.0;
    let (top, foot) = (92.0, HEIGHT - 44.0);
    let all = || panels.iter().flat_map(|p| &p.1).flat_map(|c| &c.points);
    let low = all().map(|p| p.0).fold(f64::INFINITY, f64::min).log2().floor();
    let high = all().map(|p| p.0).fold(0.0, f64::max).log2().ceil();
    let least = all().map(|p| p.1).fold(f64::INFINITY, f64::min).log10().floor();
    let most = all().map(|p| p.1).fold(0.0, f64::max).log10().ceil();
    let wide = (WIDTH - 20.0) / panels.len().max(1) as f64;
    let mut body = text(20.0, 26.0, 16.0, "start", INK, title);
    body += &text(20.0, 45.0, 11.0, "start", PALE, subtitle);
    let mut at = 20.0;
    for (i, curve) in panels.first().map_or(&[][..], |p| &p.1).iter().enumerate() {
        body += &line((at, 58.0), (at + 22.0, 58.0), color(i, curve), &stroke(i, curve));
        body += &text(at + 27.0, 62.0, 11.0, "start", INK, &curve.label);
        at += 60.0 + 6.6 * curve.label.chars().count() as f64;
    }
    for (i, (name, curves)) in panels.iter().enumerate() {
        let left = 20.0 + wide * i as f64 + 34.0;
        let right = 20.0 + wide * (i + 1) as f64 - 16.0;
        let x = |v: f64| left + (v.log2() - low) / (high - low) * (right - left);
        let y = |v: f64| foot - (v.log10() - least) / (most - least) * (foot - top);
        body += &text(left, top - 8.0, 12.0, "start", INK, name);
        for decade in least as i32..=most as i32 {
            let v = 10f64.powi(decade);
            body += &line((left, y(v)), (right, y(v)), GRID, "");
            body += &text(left - 5.0, y(v) + 4.0, 10.0, "end", PALE, &format!("{v}"));
        }
        let mut exponent = low;
        while exponent <= high {
            let v = exponent.exp2();
            body += &line((x(v), foot), (x(v), foot + 4.0), PALE, "");
            if ((exponent - low) as i64).rem_euclid(4) == 0 {
                body += &text(x(v), foot + 17.0, 10.0, "middle", PALE, &bytes(v));
            }
            exponent += 1.0;
        }
        for (v, word) in marks.iter().filter(|m| (low..=high).contains(&m.0.log2())) {
            body += &line((x(*v), top), (x(*v), foot), PALE, "stroke-dasharray=\"2 3\"");
            body += &text(x(*v) + 3.0, foot - 5.0, 9.0, "start", PALE, word);
        }
        for (j, curve) in curves.iter().enumerate().rev() {
            let mut points = String::new();
            for (a, b) in &curve.points {
                // Writing to a string cannot fail.
                let _ = write!(points, "{:.1},{:.1} ", x(*a), y(*b));
            }
            let _ = writeln!(
                body,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" {}/>",
                points.trim_end(),
                color(j, curve),
                stroke(j, curve)
            );
        }
        body += &text((left + right) / 2.0, foot + 34.0, 11.0, "middle", INK, "bytes of the input");
    }
    document(WIDTH, HEIGHT, &body)
}

fn color(i: usize, curve: &Curve) -> &'static str {
    if curve.yardstick { INK } else { COLORS[i % COLORS.len()] }
}

/// The first curve is the one to look at.
fn stroke(i: usize, curve: &Curve) -> String {
    let width = if i == 0 { 2.6 } else { 1.5 };
    let dashes = if curve.yardstick { " stroke-dasharray=\"5 3\"" } else { "" };
    format!("stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}")
}

/// A size in binary units.
pub fn bytes(v: f64) -> String {
    match v {
        v if v >= 1_073_741_824.0 => format!("{} GiB", v / 1_073_741_824.0),
        v if v >= 1_048_576.0 => format!("{} MiB", v / 1_048_576.0),
        v if v >= 1024.0 => format!("{} KiB", v / 1024.0),
        v => format!("{v} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_tell_their_numbers() {
        let bar = |label: &str, ours, work| Bar { label: label.into(), ours, work, call: 0.25 };
        let bars_of = vec![bar("us", true, 0.75), bar("a<b", false, 40.0)];
        let panel = Panel { title: "gelu".into(), mark: Some(0.5), bars: bars_of };
        let svg = bars("Title", "of it", &vec![panel; 5]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in [">Title<", ">gelu<", ">us<", ">a&lt;b<", ">1.00<", ">40.2<"] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        // Cut where it leaves the scale, and only there.
        assert_eq!(svg.matches("stroke-width=\"2.5\"").count(), 5);
    }

    #[test]
    fn curves_have_marks() {
        let curve = |label: &str| Curve {
            label: label.into(),
            points: vec![(1024.0, 50.0), (1_048_576.0, 5.0)],
            yardstick: label == "them",
        };
        let panels = [("relu".to_owned(), vec![curve("us"), curve("them")])];
        let marks = [(49152.0, "L1".to_owned()), (1e12, "far".to_owned())];
        let svg = curves("Title", "of it", &marks, &panels);
        for part in [">relu<", ">us<", ">them<", ">L1<", ">1 KiB<", ">256 KiB<"] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        // The curve and its line in the legend.
        assert_eq!(svg.matches("dasharray=\"5 3\"").count(), 2);
        assert!(!svg.contains("far") && svg.matches("<polyline").count() == 2);
    }

    #[test]
    fn numbers_and_sizes() {
        assert_eq!(short(0.0812), "0.081");
        assert_eq!(
            (short(1.234), short(12.34), short(123.4)),
            ("1.23".into(), "12.3".into(), "123".into())
        );
        assert_eq!(bytes(49152.0), "48 KiB");
        assert_eq!(bytes(33_554_432.0), "32 MiB");
    }
}
