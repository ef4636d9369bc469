//! Numbers, names and symbols of a text.

use super::error::FormulaError;
use alloc::{format, vec::Vec};
use core::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What<'t> {
    Number(&'t str),
    Name(&'t str),
    Symbol(&'static str),
}

/// A token with its place.
#[derive(Clone, Debug)]
pub(crate) struct Token<'t> {
    pub(crate) what: What<'t>,
    pub(crate) span: Range<usize>,
}

/// Longer ones before those that they begin with.
const SYMBOLS: [&str; 25] = [
    "**", "<=", ">=", "==", "!=", "&&", "||", "+", "-", "*", "/", "^", "<", ">", "=", "(", ")",
    "[", "]", ",", ";", "&", "|", "~", "!",
];

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FormulaError> {
    let bytes = text.as_bytes();
    let (mut all, mut at) = (Vec::new(), 0);
    let run = |from: usize, wanted: fn(u8) -> bool| {
        bytes[from..].iter().take_while(|b| wanted(**b)).count() + from
    };
    let digits = |from| run(from, |b| b.is_ascii_digit());
    while at < bytes.len() {
        let start = at;
        let b = bytes[at];
        if b.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let fraction = b == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        let what = if b.is_ascii_digit() || fraction {
            at = digits(at);
            if bytes.get(at) == Some(&b'.') {
                at = digits(at + 1);
            }
            // The letter e belongs to the number if digits follow.
            if matches!(bytes.get(at), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
                let end = digits(at + 1 + sign);
                if end > at + 1 + sign {
                    at = end;
                }
            }
            What::Number(&text[start..at])
        } else if b.is_ascii_alphabetic() || b == b'_' {
            at = run(at, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
            What::Name(&text[start..at])
        } else if let Some(s) = SYMBOLS.iter().find(|s| text[at..].starts_with(**s)) {
            at += s.len();
            What::Symbol(s)
        } else {
            let c = text[at..].chars().next().unwrap_or(' ');
            let hint = match c {
                '\u{b7}' | '\u{d7}' | '\u{2217}' | '\u{22c5}' => "; write `*`",
                '\u{2212}' | '\u{2013}' => "; write `-`",
                '\u{f7}' => "; write `/`",
                '\u{3b1}'..='\u{3c9}' => "; write the letter's name, such as `alpha`",
                '\u{2264}' => "; write `<=`",
                '\u{2265}' => "; write `>=`",
                '\u{b2}' => "; write `^2`",
                '\u{b3}' => "; write `^3`",
                '{' | '}' => "; write `(` and `)`",
                ':' => "; parameters follow a semicolon, as in `; alpha = 1`",
                _ => "",
            };
            let message = format!("`{}` is no part of a formula{hint}", c.escape_debug());
            return Err(FormulaError::new(text, at..at + c.len_utf8(), message));
        };
        all.push(Token { what, span: start..at });
    }
    Ok(all)
}
