//! `cargo xtask accuracy`: docs/accuracy.md, from the records of measurements.
//!
//! `proof/f32.csv` holds the exhaustive runs, `bench/accuracy/verify.json` what `nonlin verify`
//! found of the other types, `bench/accuracy/record.json` other libraries. Every number of the
//! document comes from them.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::exhaustive::RECORD as EXHAUSTIVE;
use crate::system::{cache, cargo, command, line, nonlin, python_with_peers, root, run};

const DOCUMENT: &str = "docs/accuracy.md";
const PEERS: &str = "bench/accuracy/record.json";
const VERIFY: &str = "bench/accuracy/verify.json";
/// Points of the samples of `nonlin verify`.
const POINTS: &str = "1048576";

/// Measures what is asked for, and writes the document or, with `--check`, compares it.
///
/// # Errors
/// A record is missing, a measurement fails, or the document is stale.
pub fn main(args: &[&str]) -> Result<()> {
    let known = ["--peers", "--verify", "--check"];
    if let Some(other) = args.iter().find(|a| !known.contains(a)) {
        bail!("unknown option `{other}`; cargo xtask accuracy [--peers] [--verify] [--check]");
    }
    if args.contains(&"--verify") || args.contains(&"--peers") {
        measure()?;
    }
    if args.contains(&"--peers") {
        peers()?;
    }
    let path = root().join(DOCUMENT);
    let text = render(&Records::read()?)?;
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if args.contains(&"--check") {
        bail!("stale: {DOCUMENT}; run `cargo xtask accuracy`");
    }
    std::fs::write(&path, text).context(DOCUMENT)?;
    println!("{DOCUMENT}: written");
    Ok(())
}

/// Writes `bench/accuracy/verify.json`.
fn measure() -> Result<()> {
    let program = nonlin()?;
    let mut rows = Vec::new();
    for dtype in ["f32", "f64", "f16", "bf16"] {
        let mut command = command(&program);
        command.args(["verify", "--json", "--dtype", dtype, "--points", POINTS]);
        println!("$ {}", line(&command));
        // A bound that does not hold is recorded like one that does.
        let output = command.stderr(Stdio::inherit()).output().with_context(|| line(&command))?;
        let found: Vec<Value> =
            serde_json::from_slice(&output.stdout).with_context(|| line(&command))?;
        rows.extend(found);
    }
    let record = json!({ "points": POINTS.parse::<u64>()?, "rows": rows });
    let text = serde_json::to_string_pretty(&record)? + "\n";
    std::fs::write(root().join(VERIFY), text).context(VERIFY)
}

/// Writes `bench/accuracy/record.json`.
fn peers() -> Result<()> {
    let python = python_with_peers()?;
    let target = cache("candle")?;
    let manifest = "bench/accuracy/candle/Cargo.toml";
    run(cargo(["build", "--release", "--locked", "--manifest-path", manifest])
        .arg("--target-dir")
        .arg(&target))?;
    let candle = format!("release/candle-sample{}", std::env::consts::EXE_SUFFIX);
    run(command(&python)
        .args(["-B", "bench/accuracy/peers.py", "-o", PEERS, "--nonlin"])
        .arg(nonlin()?)
        .arg("--candle")
        .arg(target.join(candle)))
}

/// What was measured.
struct Records {
    /// Lines of the exhaustive record, without its header.
    exhaustive: Vec<Vec<String>>,
    verify: Value,
    peers: Value,
}

impl Records {
    fn read() -> Result<Self> {
        let json = |name: &str| -> Result<Value> {
            let text = std::fs::read_to_string(root().join(name))
                .with_context(|| format!("{name}; `cargo xtask accuracy --peers` measures it"))?;
            serde_json::from_str(&text).with_context(|| name.to_owned())
        };
        let table = std::fs::read_to_string(root().join(EXHAUSTIVE)).unwrap_or_default();
        let lines = table.lines().skip(1).filter(|l| !l.is_empty());
        let mut exhaustive: Vec<Vec<String>> =
            lines.map(|l| l.split(',').map(str::to_owned).collect()).collect();
        if let Some(wrong) = exhaustive.iter().find(|fields| fields.len() != 10) {
            bail!("{EXHAUSTIVE}: `{}` is not a line of a record", wrong.join(","));
        }
        exhaustive.sort_by(|a, b| a[0].cmp(&b[0])); // Functions are recorded as they finish.
        Ok(Records { exhaustive, verify: json(VERIFY)?, peers: json(PEERS)? })
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(key, v)| (key.as_str(), v))
}

fn joined(values: &Value) -> String {
    list(values).iter().map(text).collect::<Vec<_>>().join(", ")
}

/// An error as it is printed: four digits after the point while it is small.
fn ulps(value: &Value) -> String {
    match value.as_f64() {
        Some(0.0) => "0".into(),
        Some(v) if v < 2.0 => format!("{v:.4}"),
        Some(v) if v < 1000.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.1e}"),
        None if value.is_null() => "–".into(),
        None => "∞".into(),
    }
}

/// A number of a record that may be the text `inf` or `NaN`.
fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| text(value).to_owned(), |v| format!("{v:e}"))
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// A bound as a power of ten or two where it is one.
fn power(v: f64) -> String {
    if v > 0.0 && v.log2().fract() == 0.0 { format!("2^{}", v.log2()) } else { format!("{v:e}") }
}

fn digits(n: u64) -> String {
    let plain = n.to_string();
    let mut out = String::new();
    for (i, c) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn render(r: &Records) -> Result<String> {
    let mut out = String::from(
        "<!-- Generated by `cargo xtask accuracy` from recorded measurements. Do not edit. -->\n\
         # Accuracy\n\n\
         How far results are from the exact values: ours, and next to them those of other\n\
         libraries on the same inputs.\n\n\
         - [What is measured](#what-is-measured)\n- [This library](#this-library)\n\
         - [Other libraries on the same inputs](#other-libraries-on-the-same-inputs)\n\
         - [What goes wrong at special values](#what-goes-wrong-at-special-values)\n\
         - [How to reproduce](#how-to-reproduce)\n",
    );
    definition(&mut out, r)?;
    ours(&mut out, r)?;
    others(&mut out, r)?;
    special(&mut out, r)?;
    reproduce(&mut out, r)?;
    Ok(out)
}

fn definition(out: &mut String, r: &Records) -> Result<()> {
    let near = &r.peers["near_zero"];
    let about = near["about"].as_f64().context("about")?;
    let absolute = near["absolute"].as_f64().context("absolute")?;
    write!(
        out,
        "\n## What is measured\n\n\
         The error of a result in units of the last place (ULP) is\n\n\
         ```text\n\
         ULP error = |result - exact| / spacing\n\
         ```\n\n\
         where `exact` is the exact value of the function, with the input and the parameters as\n\
         the type has them, and `spacing` is the distance between neighbouring numbers of the\n\
         result's type in the binade of `exact`. Below the normal numbers it is the distance\n\
         between subnormal numbers. Where `exact` rounds to an infinity, that infinity has error\n\
         0 and everything else has an infinite error; so has a NaN that should be a number. A\n\
         result of at most 0.5 is the nearest number. A result flushed to 0 has an error of up\n\
         to {flush} in f32.\n\n\
         Near a zero of a derivative between corners (of `silu`, `mish`, `gelu`, `gelu_tanh`,\n\
         `hard_swish`) the derivative is a difference that cancels: a slope at most {about} away\n\
         from the zero counts as right if it is off by at most {bound} in f32, f16 and\n\
         bf16, and by at most {double} in f64. The tables of\n\
         other libraries use the same rule for all; what it excuses is listed apart.\n\n\
         The bounds that the tests hold every function to are in the column `bound`; they are\n\
         stated in the definition of each function.\n",
        flush = power(2f64.powi(23)),
        bound = power(absolute),
        double = power(2f64.powi(-53)),
    )?;
    Ok(())
}

/// The rows of `nonlin verify` of one type.
fn rows<'a>(r: &'a Records, dtype: &'a str) -> impl Iterator<Item = &'a Value> {
    list(&r.verify["rows"]).iter().filter(move |row| text(&row["dtype"]) == dtype)
}

fn ours(out: &mut String, r: &Records) -> Result<()> {
    out.push_str("\n## This library\n\n### f32, all 2^32 inputs\n\n");
    let gated: Vec<&str> = list(&r.verify["rows"])
        .iter()
        .filter(|row| text(&row["what"]) == "df/da")
        .map(|row| text(&row["function"]))
        .collect();
    let is_gated = |row: &Value| gated.contains(&text(&row["function"]));
    let is_rows = |row: &Value| text(&row["what"]).starts_with('n');
    let bound = |name: &str, what: &str| {
        rows(r, "f32")
            .find(|row| text(&row["function"]) == name && text(&row["what"]) == what)
            .map_or_else(|| "–".into(), |row| row["bound"].to_string())
    };
    if r.exhaustive.is_empty() {
        writeln!(out, "`{EXHAUSTIVE}` is not there: no exhaustive run is recorded.")?;
    } else {
        out.push_str(
            "`f'` is the derivative. Misrounded: inputs whose result is not the nearest number.\n\
             Wrong steps: neighbouring inputs whose results fall where the function rises, counted\n\
             where it is monotone. Near zero: slopes that the absolute bound excuses. The digest\n\
             is of all 2^32 results; `nonlin verify --digests proof/f32.csv` computes it at every level\n\
             with fused multiply-add and compares.\n\n\
             | function | | max ULP | at x | mean ULP | misrounded | wrong steps | near zero | bound | level | digest |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|---|---|\n",
        );
        for f in &r.exhaustive {
            let [name, what, level, max, at, mean, misrounded, wrong, near, digest] = &f[..] else {
                bail!("{EXHAUSTIVE}: a line has {} fields", f.len());
            };
            let group = |s: &str| s.parse().map_or_else(|_| s.to_owned(), digits);
            writeln!(
                out,
                "| `{name}` | `{what}` | {max} | {at} | {mean} | {} | {} | {} | {} | {level} | `{digest}` |",
                group(misrounded),
                group(wrong),
                group(near),
                bound(name, what),
            )?;
        }
    }
    let missing: Vec<&str> = rows(r, "f32")
        .filter(|row| text(&row["what"]) == "f" && !is_gated(row))
        .map(|row| text(&row["function"]))
        .filter(|name| !r.exhaustive.iter().any(|f| f[0] == *name))
        .collect();
    if !missing.is_empty() {
        let rest = |row: &&Value| missing.contains(&text(&row["function"]));
        writeln!(out, "\nNot in the exhaustive record yet, and sampled instead:\n")?;
        table(out, rows(r, "f32").filter(rest))?;
    }
    let points = digits(count(&r.verify["points"]));
    writeln!(
        out,
        "\n### f64, sampled\n\n\
         About {points} points to a function, all exponents and both signs, denser where\n\
         functions bend and around corners, zeros and the ends of ranges; against double-double\n\
         arithmetic.\n"
    )?;
    table(out, rows(r, "f64").filter(|row| !is_gated(row) && !is_rows(row)))?;
    for dtype in ["f16", "bf16"] {
        writeln!(out, "\n### {dtype}, all 65,536 inputs\n")?;
        table(out, rows(r, dtype).filter(|row| !is_gated(row) && !is_rows(row)))?;
    }
    writeln!(
        out,
        "\n### Gated functions, sampled pairs\n\n\
         `df/da` and `df/db` are the partial derivatives by the first and the second operand.\n"
    )?;
    let pairs = ["f32", "f64"].into_iter().flat_map(|dtype| rows(r, dtype));
    let columns = "| function | type | | max ULP | at a | at b | mean ULP | inputs | bound | |\n\
                   |---|---|---|--:|--:|--:|--:|--:|--:|---|\n";
    out.push_str(columns);
    for row in pairs.filter(|row| is_gated(row)) {
        writeln!(
            out,
            "| `{}` | {} | `{}` | {} | {} | {} | {} | {} | {} | {} |",
            text(&row["function"]),
            text(&row["dtype"]),
            text(&row["what"]),
            ulps(&row["max_ulp"]),
            number(&row["at"]),
            number(&row["at_b"]),
            ulps(&row["mean_ulp"]),
            digits(count(&row["inputs"])),
            row["bound"],
            verdict(row),
        )?;
    }
    let long: Vec<&Value> = list(&r.verify["rows"]).iter().filter(|row| is_rows(row)).collect();
    if !long.is_empty() {
        writeln!(
            out,
            "\n### Softmax, rows that make trouble\n\n\
             Offsets up to the end of the range, entries of -inf, one that dominates, all equal; by\n\
             length of the row.\n\n\
             | function | type | length | max ULP | at x | mean ULP | inputs | bound | |\n\
             |---|---|---|--:|--:|--:|--:|--:|---|"
        )?;
    }
    for row in long {
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            text(&row["function"]),
            text(&row["dtype"]),
            text(&row["what"]),
            ulps(&row["max_ulp"]),
            number(&row["at"]),
            ulps(&row["mean_ulp"]),
            digits(count(&row["inputs"])),
            ulps(&row["bound"]),
            verdict(row),
        )?;
    }
    Ok(())
}

fn verdict(row: &Value) -> &'static str {
    if text(&row["verdict"]) == "pass" { "holds" } else { "**does not hold**" }
}

/// Value and derivative of each function, from rows of `nonlin verify`.
fn table<'a>(out: &mut String, rows: impl Iterator<Item = &'a Value>) -> Result<()> {
    out.push_str(
        "| function | | max ULP | at x | mean ULP | misrounded | near zero | inputs | bound | |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for row in rows {
        writeln!(
            out,
            "| `{}` | `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            text(&row["function"]),
            text(&row["what"]),
            ulps(&row["max_ulp"]),
            number(&row["at"]),
            ulps(&row["mean_ulp"]),
            digits(count(&row["misrounded"])),
            digits(count(&row["near_zero"])),
            digits(count(&row["inputs"])),
            row["bound"],
            verdict(row),
        )?;
    }
    Ok(())
}

/// A table with a line to each function and a column to each library.
fn comparison(
    out: &mut String,
    r: &Records,
    what: &str,
    cell: impl Fn(&Value) -> String,
) -> Result<()> {
    let results = list(&r.peers["results"]);
    let of = |name: &str, peer: &str| {
        results.iter().find(|row| {
            text(&row["function"]) == name
                && text(&row["what"]) == what
                && text(&row["peer"]) == peer
        })
    };
    let mut names: Vec<&str> = results.iter().map(|row| text(&row["function"])).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    let peers: Vec<&Value> = list(&r.peers["peers"])
        .iter()
        .filter(|p| names.iter().any(|name| of(name, text(&p["key"])).is_some()))
        .collect();
    let titles: Vec<&str> = peers.iter().map(|p| text(&p["name"])).collect();
    writeln!(out, "| function | {} |\n|---|{}", titles.join(" | "), "--:|".repeat(titles.len()))?;
    for name in names {
        write!(out, "| `{name}` |")?;
        for peer in &peers {
            write!(out, " {} |", of(name, text(&peer["key"])).map_or_else(|| "–".into(), &cell))?;
        }
        out.push('\n');
    }
    Ok(())
}

/// The worst error and, if it is more than a few units, where it is.
fn worst(found: &Value) -> String {
    let at = text(&found["at"]);
    match found["max"].as_f64() {
        Some(v) if v > 2.0 => format!("{} ({at})", ulps(&found["max"])),
        None if !found["max"].is_null() => format!("∞ ({at})"),
        _ => ulps(&found["max"]),
    }
}

fn others(out: &mut String, r: &Records) -> Result<()> {
    let p = &r.peers;
    let checked = &p["checked"];
    let apart = entries(&checked["apart"]).filter_map(|(_, v)| v.as_f64()).fold(0.0, f64::max);
    write!(
        out,
        "\n## Other libraries on the same inputs\n\n\
         Inputs: every {}th f32 bit pattern that is finite, {} in all, of all exponents and both\n\
         signs. Reference: formulas without cancellation in x87 long double and, near zeros of\n\
         derivatives, mpmath; it shares no code with this library. Textbook definitions in mpmath\n\
         at {} of the points differ from it by at most {apart:.1e} of the value. Everything is\n\
         f32, with default parameters (`leaky_relu` with the slope 0.01, `elu` and `celu` with\n\
         alpha 1), on one thread of one processor. Derivatives are the\n\
         libraries' own, with a gradient of 1; ONNX Runtime and the NumPy formulas have none.\n\
         Left out of derivatives are the corners, where a slope is a convention: {}.\n\n\
         Where a library has no such function it is composed as its users do: ONNX Runtime's\n\
         `silu` is Sigmoid and Mul, its `log_sigmoid` Sigmoid and Log; NumPy's are formulas over\n\
         `scipy.special.expit`, `log_expit`, `ndtr`, and `numpy.logaddexp`, `expm1`, `tanh`. A dash: not measured.\n\
         The worst input stands in brackets where the error is above 2. ∞: NaN or an infinity\n\
         instead of a number.\n",
        count(&p["stride"]),
        digits(count(&p["inputs"])),
        digits(count(&checked["points"])),
        entries(&p["kinks"])
            .map(|(name, at)| {
                let at: Vec<_> = list(at).iter().filter_map(Value::as_f64).collect();
                let at: Vec<_> = at.iter().map(f64::to_string).collect();
                format!("`{name}` at {}", at.join(" and "))
            })
            .collect::<Vec<_>>()
            .join(", "),
    )?;
    for (title, what, key) in [
        ("Values: max ULP of results that are normal numbers", "f", "normal"),
        ("Values: the same, for |x| from 2^-20 to 8", "f", "curved"),
        ("Values: max ULP of results that are 0 or subnormal", "f", "subnormal"),
        ("Derivatives: max ULP of results that are normal numbers", "f'", "normal"),
        ("Derivatives: the same, for |x| from 2^-20 to 8", "f'", "curved"),
        ("Derivatives: max ULP of results that are 0 or subnormal", "f'", "subnormal"),
    ] {
        writeln!(out, "\n### {title}\n")?;
        comparison(out, r, what, |row| worst(&row[key]))?;
    }
    for (what, title) in [("f", "Values"), ("f'", "Derivatives")] {
        writeln!(out, "\n### {title}: share of inputs with more than 1 ULP\n")?;
        comparison(out, r, what, |row| match row["over_1_ulp"].as_f64() {
            Some(0.0) => "0".into(),
            Some(share) => format!("{:.3} %", 100.0 * share),
            None => "–".into(),
        })?;
    }
    writeln!(
        out,
        "\n### Derivatives near their zeros\n\n\
         What the absolute bound has excused above: the largest error in ULP, and in brackets\n\
         how many inputs with more than 0.5 it has excused.\n"
    )?;
    comparison(out, r, "f'", |row| {
        let near = &row["near_zero"];
        match count(&near["inputs"]) {
            0 => "–".into(),
            n => format!("{} ({} inputs)", ulps(&near["max"]), digits(n)),
        }
    })
}

fn special(out: &mut String, r: &Records) -> Result<()> {
    let p = &r.peers;
    let tried = joined(&p["special"]);
    writeln!(
        out,
        "\n## What goes wrong at special values\n\n\
         Tried: {tried}. Wrong: a NaN that is not passed on, a NaN instead of a limit, a wrong\n\
         limit (more than {} ULP away), an overflow of a result that has not overflown. The sign\n\
         of zero is not counted. The last column: finite inputs of the sample whose result is\n\
         NaN or infinite though the exact value is an ordinary number.\n\n\
         | library | function | | wrong | finite inputs |\n|---|---|---|---|--:|",
        p["tolerance"]
    )?;
    let mut right = Vec::new();
    for peer in list(&p["peers"]) {
        let mut any = false;
        for row in list(&p["results"]).iter().filter(|row| row["peer"] == peer["key"]) {
            let wrong: Vec<String> = list(&row["special"])
                .iter()
                .map(|s| {
                    let (x, got, exact) = (text(&s["x"]), text(&s["got"]), text(&s["exact"]));
                    format!("{x} gives {got}, exact {exact}")
                })
                .collect();
            let finite = count(&row["not_finite"]);
            if wrong.is_empty() && finite == 0 {
                continue;
            }
            any = true;
            writeln!(
                out,
                "| {} | `{}` | `{}` | {} | {} |",
                text(&peer["name"]),
                text(&row["function"]),
                text(&row["what"]),
                wrong.join("; "),
                digits(finite),
            )?;
        }
        if !any {
            right.push(text(&peer["name"]));
        }
    }
    if !right.is_empty() {
        writeln!(out, "\nNothing is wrong in: {}.", right.join("; "))?;
    }
    Ok(())
}

fn reproduce(out: &mut String, r: &Records) -> Result<()> {
    let p = &r.peers;
    let levels: Vec<&str> = {
        let mut all: Vec<&str> =
            list(&r.verify["rows"]).iter().map(|row| text(&row["level"])).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    write!(
        out,
        "\n## How to reproduce\n\n\
         ```sh\n\
         nonlin verify --exhaustive --record {EXHAUSTIVE}   # all f32 inputs; hours; adds what is not in it\n\
         cargo xtask accuracy --verify    # {VERIFY}: the other types\n\
         cargo xtask accuracy --peers     # {PEERS} as well; installs the libraries below .cache\n\
         cargo xtask accuracy             # this document, from the records\n\
         cargo xtask accuracy --check     # fails if it is stale\n\
         ```\n\n\
         One function, on your machine: `nonlin verify gelu`, `nonlin verify gelu --exhaustive`.\n\
         The inputs of all runs are fixed.\n\n\
         Other libraries were measured on {date}, on {cpu} ({instructions}), {system}, Python {python}:\n\n\
         | library | versions |\n|---|---|\n",
        date = text(&p["date"]),
        cpu = text(&p["machine"]["cpu"]),
        instructions = joined(&p["machine"]["instructions"]),
        system = text(&p["machine"]["system"]),
        python = text(&p["machine"]["python"]),
    )?;
    for peer in list(&p["peers"]) {
        let versions: Vec<String> = entries(&peer["versions"])
            .map(|(package, version)| format!("{package} {}", text(version)))
            .collect();
        writeln!(out, "| {} | {} |", text(&peer["name"]), versions.join(", "))?;
    }
    for (library, why) in entries(&p["left_out"]) {
        writeln!(out, "\n{library} is left out: {}.", text(why).trim_end_matches('.'))?;
    }
    writeln!(
        out,
        "\nNot compared: Candle's functions that it does not have; TensorFlow, oneDNN and XNNPACK\n\
         by themselves; other types than f32. The tables of this library by `nonlin verify` were\n\
         measured at level {}.",
        levels.join(", ")
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_from_small_records() {
        let row = |function: &str, what: &str, dtype: &str| {
            json!({
                "function": function, "dtype": dtype, "what": what, "level": "avx2",
                "inputs": 9, "max_ulp": 0.25, "at": 1.5, "at_b": "inf", "mean_ulp": 0.1,
                "misrounded": 0, "near_zero": 0, "bound": 0.75, "verdict": "pass",
            })
        };
        let line = "tanh,f,avx512,0.500012,-1e0,0.250000,1234,0,0,00ff";
        let mut records = Records {
            exhaustive: vec![line.split(',').map(str::to_owned).collect()],
            verify: json!({ "points": 8, "rows": [
                row("tanh", "f", "f32"), row("relu", "f", "f32"), row("geglu", "df/da", "f32"),
            ]}),
            peers: json!({
                "near_zero": {"about": 0.5, "absolute": 0.25}, "special": ["inf"],
                "peers": [{"key": "it", "name": "It", "versions": {"it": "1"}}],
                "results": [{
                    "function": "tanh", "what": "f", "peer": "it", "over_1_ulp": 0.5,
                    "normal": {"max": 3.0, "at": "4.0"}, "not_finite": 2,
                    "special": [{"x": "inf", "got": "nan", "exact": "1.0"}],
                }],
                "left_out": {"Other": "no wheel"},
            }),
        };
        let text = render(&records).unwrap();
        for part in [
            "| `tanh` | `f` | 0.500012 | -1e0 | 0.250000 | 1,234 | 0 | 0 | 0.75 | avx512 | `00ff` |",
            "| `relu` | `f` | 0.2500 | 1.5e0 |",
            "| `geglu` | f32 | `df/da` | 0.2500 | 1.5e0 | inf |",
            "| `tanh` | 3.0 (4.0) |",
            "| It | `tanh` | `f` | inf gives nan, exact 1.0 | 2 |",
            "Other is left out: no wheel.",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        records.exhaustive.clear();
        assert!(render(&records).unwrap().contains("no exhaustive run is recorded"));
    }

    #[test]
    fn numbers_as_they_are_printed() {
        assert_eq!(ulps(&json!(0.5013)), "0.5013");
        assert_eq!(ulps(&json!(16777216.0)), "1.7e7");
        assert_eq!(ulps(&json!("inf")), "∞");
        assert_eq!(ulps(&Value::Null), "–");
        assert_eq!(digits(1234567), "1,234,567");
        assert_eq!(power(2f64.powi(-24)), "2^-24");
        assert_eq!(worst(&json!({"max": 134.0, "at": "-91.2"})), "134.0 (-91.2)");
    }
}
