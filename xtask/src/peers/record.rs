//! The record of measurements, one line each.

use anyhow::{Context, Result, bail};

/// The first line of the record.
pub const HEADER: &str = "what,function,dtype,n,threads,who,rounds,median_ns,min_ns,copies,\
                          worst_relative,worst_error";

/// A measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `forward`, `backward`, `from_output`, `strided` or `yardstick`.
    pub what: String,
    /// The function.
    pub function: String,
    /// The type of the arrays.
    pub dtype: String,
    /// Elements.
    pub n: usize,
    /// Threads.
    pub threads: usize,
    /// The library.
    pub who: String,
    /// How often it was measured.
    pub rounds: usize,
    /// Nanoseconds an element: the median round.
    pub median: f64,
    /// Nanoseconds an element in the fastest round.
    pub least: f64,
    /// The median as a multiple of memcpy of as many bytes in the same rounds.
    pub copies: f64,
    /// The worst error relative to the exact result; absent where nothing was checked.
    pub relative: Option<f64>,
    /// The worst error relative to the exact result or to 1, whichever is greater.
    pub error: Option<f64>,
}

impl Row {
    /// As a line.
    pub fn line(&self) -> String {
        let known = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.2e}"));
        format!(
            "{},{},{},{},{},{},{},{:.5},{:.5},{:.3},{},{}",
            self.what,
            self.function,
            self.dtype,
            self.n,
            self.threads,
            self.who,
            self.rounds,
            self.median,
            self.least,
            self.copies,
            known(self.relative),
            known(self.error),
        )
    }

    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let &[what, function, dtype, n, threads, who, rounds, median, least, copies, rel, error] =
            &fields[..]
        else {
            bail!("it has {} fields", fields.len())
        };
        let optional = |v: &str| -> Result<Option<f64>> {
            if v.is_empty() { Ok(None) } else { Ok(Some(v.parse()?)) }
        };
        Ok(Row {
            what: what.into(),
            function: function.into(),
            dtype: dtype.into(),
            n: n.parse().context("n")?,
            threads: threads.parse().context("threads")?,
            who: who.into(),
            rounds: rounds.parse().context("rounds")?,
            median: median.parse().context("median")?,
            least: least.parse().context("min")?,
            copies: copies.parse().context("copies")?,
            relative: optional(rel).context("worst_relative")?,
            error: optional(error).context("worst_error")?,
        })
    }
}

/// All rows of a record.
///
/// # Errors
/// A line is not one of a record.
pub fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        bail!("it does not begin with `{HEADER}`");
    }
    let row = |(i, line)| Row::parse(line).with_context(|| format!("line {}: `{line}`", i + 2));
    lines.enumerate().map(row).collect()
}

/// The middle of some numbers; of an even count, the mean of the two in the middle.
///
/// # Panics
/// If there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The worst error relative to the exact result, and relative to that or to 1.
///
/// Where the exact result is NaN, there is no right one. One that is missing is infinitely wrong.
pub fn errors(got: &[f64], exact: &[f64]) -> (f64, f64) {
    let mut worst = (0.0f64, 0.0f64);
    for (i, &e) in exact.iter().enumerate().filter(|(_, e)| !e.is_nan()) {
        let apart = got.get(i).map_or(f64::INFINITY, |g| (g - e).abs());
        let apart = if apart.is_nan() { f64::INFINITY } else { apart };
        if apart > 0.0 {
            worst = (worst.0.max(apart / e.abs()), worst.1.max(apart / e.abs().max(1.0)));
        }
    }
    worst
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn row(what: &str, function: &str, n: usize, who: &str, median: f64) -> Row {
        Row {
            what: what.into(),
            function: function.into(),
            dtype: "f32".into(),
            n,
            threads: 1,
            who: who.into(),
            rounds: 3,
            median,
            least: median / 2.0,
            copies: median / 0.125,
            relative: Some(1e-6),
            error: None,
        }
    }

    #[test]
    fn lines_come_back() {
        let one = row("forward", "gelu", 16384, "torch", 0.375);
        let other = Row { relative: None, error: Some(f64::INFINITY), ..one.clone() };
        let text = format!("{HEADER}\n{}\n{}\n", one.line(), other.line());
        assert_eq!(parse(&text).unwrap(), [one, other]);
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = row("forward", "gelu", 16384, "torch", 0.375).line();
        for bad in
            [format!("{good},1"), good.replace("0.37500", "fast"), good.replace("16384", "-1")]
        {
            let error = format!("{:#}", parse(&format!("{HEADER}\n{good}\n{bad}\n")).unwrap_err());
            assert!(error.starts_with("line 3: "), "{error}");
        }
        assert!(parse(&good).is_err() && parse("").is_err());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn errors_are_relative() {
        assert_eq!(errors(&[1.0, 4.5, 0.25], &[1.0, 4.0, 0.5]), (0.5, 0.25));
        assert_eq!(errors(&[0.0, 9.0], &[0.0, f64::NAN]), (0.0, 0.0));
        assert_eq!(errors(&[f64::NAN], &[1.0]), (f64::INFINITY, f64::INFINITY));
        assert_eq!(errors(&[], &[0.5]), (f64::INFINITY, f64::INFINITY));
        assert_eq!(errors(&[0.5], &[0.0]), (f64::INFINITY, 0.5));
    }
}
