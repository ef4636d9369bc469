//! Where and why a text is not a formula.

use alloc::{borrow::ToOwned, format, string::String};
use core::fmt;
use core::ops::Range;

/// A mistake in a formula: where it is, what is wrong there, and the name that was perhaps meant.
///
/// Its text has two more lines, the formula and a mark below the place:
///
/// ```
/// let error = nonlin::Formula::parse("x * tnah(x)").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "unknown function `tnah`; did you mean `tanh`?\n  x * tnah(x)\n      ^^^^"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    message: String,
    nearest: Option<String>,
    span: Range<usize>,
    /// What is shown of the formula, and from which of its characters on how many are marked.
    shown: (String, usize, usize),
}

/// Characters of the formula that are shown on either side of a mistake.
const BESIDE: usize = 50;

impl FormulaError {
    pub(crate) fn new(text: &str, span: Range<usize>, message: String) -> Self {
        let (start, end) = (span.start.min(text.len()), span.end.min(text.len()));
        // From 50 characters before the place on.
        let first =
            text[..start].char_indices().rev().take(BESIDE).last().map_or(start, |(i, _)| i);
        let before = format!("{}{}", if first > 0 { "..." } else { "" }, &text[first..start]);
        let marked: String = text[start..end].chars().take(BESIDE).collect();
        let mut after: String = text[end..].chars().take(BESIDE).collect();
        if text[end..].chars().nth(BESIDE).is_some() {
            after.push_str("...");
        }
        let (from, width) = (before.chars().count(), marked.chars().count().max(1));
        let line = format!("{before}{marked}{after}");
        let line = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        FormulaError { message, nearest: None, span, shown: (line, from, width) }
    }

    pub(crate) fn with_nearest(mut self, nearest: Option<&str>) -> Self {
        self.nearest = nearest.map(ToOwned::to_owned);
        self
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.nearest {
            Some(name) => format!("{}; did you mean `{name}`?", self.message),
            None => self.message.clone(),
        }
    }

    /// The name that was perhaps meant, of those that are known there.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }

    /// Which bytes of the text are meant; empty at its end if something is missing there.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

impl fmt::Display for FormulaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, from, width) = &self.shown;
        write!(f, "{}\n  {line}\n  {:from$}{:^>width$}", self.message(), "", "")
    }
}

impl core::error::Error for FormulaError {}
