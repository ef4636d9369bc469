//! Curves in the terminal, eight dots a character (Unicode braille).

use crate::ticks::{label, ticks};

/// Draws `points` in `columns` by `rows` characters, axes and title included: `rows` strings
/// of `columns` characters each. A point that is not finite interrupts the line. Less than
/// 24 by 8 is drawn as 24 by 8.
#[must_use]
pub fn panel(
    title: &str,
    points: &[(f64, f64)],
    x_range: (f64, f64),
    columns: usize,
    rows: usize,
) -> Vec<String> {
    let (columns, rows) = (columns.max(24), rows.max(8));
    let (x0, x1) = x_range;
    let values = points.iter().map(|p| p.1).filter(|y| y.is_finite());
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), y| (a.min(y), b.max(y)));
    let drawable = x0 < x1 && (x1 - x0).is_finite() && low <= high && (high - low).is_finite();
    if !drawable {
        let mut lines = vec![fit(title, columns), fit("(no finite value)", columns)];
        lines.resize(rows, fit("", columns));
        return lines;
    }
    let (y0, y1) = if high - low <= low.abs().max(high.abs()) * 1e-9 {
        let margin = low.abs().max(1.0) / 2.0;
        (low - margin, high + margin)
    } else {
        (low, high)
    };

    // Title above; axis and its labels below.
    let height = rows - 3;
    let most = (height / 3).max(2);
    let (y0, y1) = widened(y0, y1, ticks(y0, y1, most).step);
    let y_ticks = ticks(y0, y1, most);
    let names: Vec<String> = y_ticks.values.iter().map(|&v| label(v, &y_ticks)).collect();
    let gutter = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).min(columns / 2) + 1;
    let width = columns - gutter - 1;

    let mut dots = Dots::new(width, height);
    let place = |&(x, y): &(f64, f64)| {
        let across = (x - x0) / (x1 - x0) * (2 * width - 1) as f64;
        let down = (y1 - y) / (y1 - y0) * (4 * height - 1) as f64;
        (across, down)
    };
    for pair in points.windows(2) {
        dots.line(place(&pair[0]), place(&pair[1]));
    }

    let row_of = |v: f64| (place(&(x0, v)).1.round() / 4.0) as usize;
    let column_of = |v: f64| (place(&(v, y0)).0.round() / 2.0) as usize;
    let zero_row = (y0..=y1).contains(&0.0).then(|| row_of(0.0));
    let zero_column = (x0..=x1).contains(&0.0).then(|| column_of(0.0));
    let mut lines = vec![fit(&format!("{:gutter$} {title}", ""), columns)];
    for row in 0..height {
        let mark = y_ticks.values.iter().position(|&v| row_of(v) == row);
        let name = mark.map_or("", |i| &names[i]);
        let mut line = format!("{name:>width$} ", width = gutter - 1);
        line.push(if mark.is_some() { '┤' } else { '│' });
        for column in 0..width {
            line.push(match (dots.cell(column, row), zero_row, zero_column) {
                ('\u{2800}', Some(r), _) if r == row => '┄',
                ('\u{2800}', _, Some(c)) if c == column => '┆',
                ('\u{2800}', ..) => ' ',
                (braille, ..) => braille,
            });
        }
        lines.push(fit(&line, columns));
    }

    let x_ticks = ticks(x0, x1, (width / 7).max(2));
    let mut axis: Vec<char> = vec!['─'; width];
    let mut below: Vec<char> = vec![' '; columns];
    let mut free = 0;
    for &v in &x_ticks.values {
        let (column, name) = (column_of(v).min(width - 1), label(v, &x_ticks));
        axis[column] = '┬';
        let length = name.chars().count();
        let from =
            (gutter + 1 + column).saturating_sub(length / 2).min(columns - length.min(columns));
        // A label that would touch the one before it is left out.
        if from >= free && from + length <= columns {
            below.splice(from..from + length, name.chars());
            free = from + length + 1;
        }
    }
    lines.push(format!("{:gutter$}└{}", "", String::from_iter(axis)));
    lines.push(String::from_iter(below));
    lines
}

/// Two panels of as many lines, side by side.
#[must_use]
pub fn beside(left: &[String], right: &[String]) -> Vec<String> {
    left.iter().zip(right).map(|(l, r)| format!("{l}   {r}")).collect()
}

/// The interval with its ends moved out to multiples of `step` that are near, so that 0.002
/// to 5.99 is labelled 0 to 6.
fn widened(low: f64, high: f64, step: f64) -> (f64, f64) {
    let near = (high - low) * 0.04;
    let (below, above) = ((low / step).floor() * step, (high / step).ceil() * step);
    (if low - below < near { below } else { low }, if above - high < near { above } else { high })
}

/// `text` cut or filled to `columns` characters.
fn fit(text: &str, columns: usize) -> String {
    let cut: String = text.chars().take(columns).collect();
    format!("{cut:columns$}")
}

/// A raster of dots, 2 by 4 a character.
struct Dots {
    width: usize,
    cells: Vec<u8>,
}

impl Dots {
    fn new(width: usize, height: usize) -> Self {
        Dots { width, cells: vec![0; width * height] }
    }

    fn cell(&self, column: usize, row: usize) -> char {
        let bits = self.cells[row * self.width + column];
        char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ')
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        // `max` would pass over a NaN.
        if !(dx.is_finite() && dy.is_finite()) {
            return;
        }
        let steps = dx.abs().max(dy.abs()).ceil().max(1.0);
        // Points outside are not drawn, so no line needs more steps than this.
        let steps = steps.min(10_000.0);
        for i in 0..=steps as u32 {
            let t = f64::from(i) / steps;
            self.dot(from.0 + dx * t, from.1 + dy * t);
        }
    }

    fn dot(&mut self, x: f64, y: f64) {
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (x, y) = (x.round(), y.round());
        if !(x >= 0.0 && y >= 0.0) || x >= (2 * self.width) as f64 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        if let Some(cell) = self.cells.get_mut(y / 4 * self.width + x / 2) {
            *cell |= BITS[y % 4][x % 2];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(f: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..=400).map(|i| f64::from(i) / 50.0 - 4.0).map(|x| (x, f(x))).collect()
    }

    #[test]
    fn a_ramp_rises_to_the_right() {
        let lines = panel("relu", &sample(|x| x.max(0.0)), (-4.0, 4.0), 60, 14);
        assert_eq!(lines.len(), 14);
        assert!(lines.iter().all(|l| l.chars().count() == 60), "{lines:#?}");
        assert!(lines[0].contains("relu"));
        let dots = |line: &str| line.chars().position(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
        assert!(dots(&lines[1]) > dots(&lines[6]) && dots(&lines[6]) > dots(&lines[11]));
        assert!(lines[1].starts_with("4 ┤"), "{}", lines[1]);
        assert!(lines[11].starts_with("0 ┤"), "{}", lines[11]);
        assert!(lines[13].contains("−4") && lines[13].trim_end().ends_with('4'));
    }

    #[test]
    fn any_values_and_sizes_are_drawn() {
        let shapes: [fn(f64) -> f64; 6] = [
            |x| if x == 0.0 { f64::NAN } else { 1.0 / x },
            |_| f64::INFINITY,
            |_| 7.0,
            |x| x * 1e300,
            |x| x * f64::MAX,
            |x| x * 5e-324,
        ];
        for f in shapes {
            for (columns, rows) in [(0, 0), (24, 8), (200, 3), (79, 20)] {
                let lines = panel(
                    "a title longer than the panel is wide",
                    &sample(f),
                    (-4.0, 4.0),
                    columns,
                    rows,
                );
                assert_eq!(lines.len(), rows.max(8));
                assert!(lines.iter().all(|l| l.chars().count() == columns.max(24)), "{lines:#?}");
            }
        }
        assert_eq!(panel("", &[], (1.0, 1.0), 40, 10).len(), 10);
    }

    #[test]
    fn gaps_have_no_dots() {
        let points = [(-4.0, 0.0), (0.0, 0.0), (0.0, f64::NAN), (0.0, 1.0), (4.0, 1.0)];
        let lines = panel("step", &points, (-4.0, 4.0), 40, 12);
        let dots =
            |line: &str| line.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        let dots: Vec<_> = lines.iter().map(|l| dots(l)).collect();
        assert!(dots[1] > 10 && dots[1] < 22 && dots[9] > 10, "{lines:#?}");
        assert_eq!(dots[2..9], [0; 7], "{lines:#?}");
    }

    #[test]
    fn panels_stand_side_by_side() {
        let one = panel("a", &sample(|x| x), (-4.0, 4.0), 30, 10);
        let both = beside(&one, &one);
        assert!(both.len() == 10 && both.iter().all(|l| l.chars().count() == 63));
    }
}
