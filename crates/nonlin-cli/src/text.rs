//! Numbers as text: a line in, a line out.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};

/// The longest line read, in bytes.
const MAX_LINE: u64 = 1 << 30;

/// Calls `f` with every line: its number from 1, its numbers, which white space, commas or both
/// separate, and whether it is the last for now, so that whoever typed it waits for the answer.
///
/// # Errors
/// A word is no number, or `f` fails.
pub fn lines(
    input: impl Read,
    mut f: impl FnMut(usize, Vec<f64>, bool) -> Result<()>,
) -> Result<()> {
    let (mut input, mut line) = (BufReader::new(input), Vec::new());
    for number in 1.. {
        line.clear();
        let mut limited = (&mut input).take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut line).context("standard input")?;
        if length == 0 {
            break;
        }
        if length as u64 == MAX_LINE && line.last() != Some(&b'\n') {
            bail!("standard input, line {number}: longer than {MAX_LINE} bytes");
        }
        let separator = |b: &u8| b.is_ascii_whitespace() || *b == b',';
        let words = line.split(separator).filter(|w| !w.is_empty());
        let numbers = words.map(|word| {
            let text = String::from_utf8_lossy(word);
            text.parse::<f64>().ok().with_context(|| {
                let shown: String = text.chars().take(40).collect();
                format!("standard input, line {number}: {shown:?} is not a number")
            })
        });
        f(number, numbers.collect::<Result<_>>()?, input.buffer().is_empty())?;
    }
    Ok(())
}

/// The shortest text that reads back as the same numbers, one space between them.
#[must_use]
pub fn line(numbers: &[f64]) -> String {
    let mut text = String::new();
    for (i, number) in numbers.iter().enumerate() {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(&number_text(*number));
    }
    text.push('\n');
    text
}

/// The shortest text that reads back as `number`.
#[must_use]
pub fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    // `{:?}` switches to an exponent where `{}` would write 300 zeros.
    let text = format!("{number:?}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<f64>>> {
        let mut all = Vec::new();
        lines(text.as_bytes(), |_, numbers, _| {
            all.push(numbers);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn lines_are_kept() {
        let all = read("1, 2.5,-inf\r\n\n3e-2\tNaN").unwrap();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 2]);
        assert_eq!(all[0], [1.0, 2.5, f64::NEG_INFINITY]);
        assert!(all[2][1].is_nan());
        let error = read("1\n2 x3").unwrap_err().to_string();
        assert_eq!(error, "standard input, line 2: \"x3\" is not a number");
    }

    #[test]
    fn text_reads_back() {
        for v in [0.0, -0.0, 1.0, 0.1, -1e300, 5e-324, f64::MAX, f64::INFINITY] {
            assert_eq!(number_text(v).parse::<f64>().unwrap().to_bits(), v.to_bits());
        }
        assert_eq!(line(&[1.0, f64::NAN, -0.5, 1e300]), "1 nan -0.5 1e300\n");
    }
}
