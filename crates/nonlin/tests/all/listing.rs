//! Instructions of programs as text: they read what was written before, and say what runs.

use nonlin::Formula;

/// The names of numbers in a line of a listing: words that no bracket follows.
fn numbers(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '.');
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(word) {
        rest = &rest[start..];
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        if !behind.starts_with('(') && name.starts_with(|c: char| c.is_alphabetic()) {
            all.push(name);
        }
        rest = behind;
    }
    all
}

/// Every number of a listing is written before it is read, and so is every result.
#[test]
fn listings_read_what_they_wrote() {
    assert_eq!(numbers("t1 = max(x, t2'(alpha)) * 2e3 - c1"), ["t1", "x", "alpha", "c1"]);
    let all = nonlin::formulas().iter().chain(nonlin::gated_formulas());
    let mut lines = 0;
    for meta in all {
        let f = Formula::parse(meta.name).unwrap();
        let all = f.instructions().unwrap();
        let operands: &[&str] = if f.is_gated() { &["a", "b"] } else { &["x"] };
        let results: &[&str] = if f.is_gated() { &["da", "db"] } else { &["dx"] };
        let back = [operands, &["grad"]].concat();
        for (text, operands, results) in
            [(&all.forward, operands, &["y"][..]), (&all.backward, &back, results)]
        {
            let mut known: Vec<&str> = operands.to_vec();
            known.extend(f.params().map(|(name, _)| name));
            for line in text {
                let (written, read) = line.split_once(" = ").unwrap();
                for name in numbers(read) {
                    assert!(known.contains(&name), "{}: {name} of `{line}`", meta.name);
                }
                known.extend(numbers(written));
                lines += 1;
            }
            for result in results {
                assert!(known.contains(result), "{}: no {result}", meta.name);
            }
        }
    }
    assert!(lines > 200, "{lines}");
}

#[test]
fn listings_say_what_runs() {
    let listed = |text: &str| Formula::parse(text).unwrap().instructions().unwrap().forward;
    assert_eq!(listed("x * tanh(x)"), ["t1 = tanh(x)", "y = x * t1"]);
    assert_eq!(
        listed("(2 - abs(x)) * max(x, 3)"),
        ["t1 = max(x, 3)", "t2 = -abs(x) + 2", "t2 = finite_beside(t2, t1, 0)", "y = t2 * t1"]
    );
    assert_eq!(
        listed("a * sigmoid(k^2 * b); k = 2"),
        [
            "c1 = k * k",
            "t1 = c1 * b",
            "t1 = sigmoid(t1)",
            "t2 = finite(a)",
            "t2 = pick_above(t1, a, t2, 0)",
            "y = scaled(t2, t1)"
        ]
    );
    assert_eq!(listed("x"), ["y = x"]);
}
