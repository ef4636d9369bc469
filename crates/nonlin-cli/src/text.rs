//! Numbers as text: a line in, a line out.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail, ensure};

/// The byte order mark that some editors put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The longest line read, in bytes.
const MAX_LINE: u64 = 1 << 30;

/// Calls `f` with every line: its number from 1, its numbers, and whether it is the last for now,
/// so that whoever typed it waits for the answer.
///
/// White space, a comma or a semicolon separates numbers, a `#` begins a comment to the end of
/// the line, and a byte order mark before the first line is passed over.
///
/// # Errors
/// A word is no number, a separator has nothing before it, or `f` fails.
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
        let bytes = match line.as_slice() {
            first if number == 1 => first.strip_prefix(MARK).unwrap_or(first),
            other => other,
        };
        ensure!(
            number > 1 || !bytes.starts_with(b"\xff\xfe") && !bytes.starts_with(b"\xfe\xff"),
            "standard input is UTF-16; it must be UTF-8 or ASCII"
        );
        let numbers = numbers(bytes).with_context(|| format!("standard input, line {number}"))?;
        f(number, numbers, input.buffer().is_empty())?;
    }
    Ok(())
}

/// The numbers of a line.
fn numbers(line: &[u8]) -> Result<Vec<f64>> {
    let end = line.iter().position(|&b| b == b'#').unwrap_or(line.len());
    let (line, mut numbers) = (line[..end].trim_ascii(), Vec::new());
    let separator = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b';');
    let mut rest = line;
    while !rest.is_empty() {
        let word = &rest[..rest.iter().position(separator).unwrap_or(rest.len())];
        ensure!(!word.is_empty(), "{:?} with no number before it", char::from(rest[0]));
        let text = String::from_utf8_lossy(word);
        numbers.push(text.parse::<f64>().ok().with_context(|| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is not a number")
        })?);
        rest = rest[word.len()..].trim_ascii_start();
        rest = rest.strip_prefix(b",").or(rest.strip_prefix(b";")).unwrap_or(rest);
        rest = rest.trim_ascii_start();
    }
    Ok(numbers)
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
        let error = |text| format!("{:#}", read(text).unwrap_err());
        assert_eq!(error("1\n2 x3"), "standard input, line 2: \"x3\" is not a number");
        assert!(error(&format!("{}\n", "9x".repeat(100))).len() < 100);
    }

    #[test]
    fn separators_and_comments() {
        let all = read("\u{feff}1;2 ; 3,4,\n# a, b\n5 # 6\n\t7\t,8;").unwrap();
        assert_eq!(all, [vec![1.0, 2.0, 3.0, 4.0], vec![], vec![5.0], vec![7.0, 8.0]]);
        let error = |text| format!("{:#}", read(text).unwrap_err());
        // A missing number would move those behind it.
        assert_eq!(error("1,,2"), "standard input, line 1: ',' with no number before it");
        assert!(error("\n;1").contains("line 2: ';' with no number"));
        assert!(error("1, ;2").contains("';' with no number"));
        // The mark belongs to the beginning.
        assert!(error("1\n\u{feff}2").contains("line 2"));
        let utf16 = lines(&b"\xff\xfe1\0"[..], |_, _, _| Ok(())).unwrap_err();
        assert!(utf16.to_string().contains("UTF-16"));
    }

    #[test]
    fn text_reads_back() {
        for v in [0.0, -0.0, 1.0, 0.1, -1e300, 5e-324, f64::MAX, f64::INFINITY] {
            assert_eq!(number_text(v).parse::<f64>().unwrap().to_bits(), v.to_bits());
        }
        assert_eq!(line(&[1.0, f64::NAN, -0.5, 1e300]), "1 nan -0.5 1e300\n");
    }
}
