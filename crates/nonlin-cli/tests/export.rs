//! `nonlin export`: every target that a compiler or NumPy can run here, over the whole catalogue and
//! formulas of many shapes, against the library.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use common::{bad, command, good, names};
use nonlin::{Formula, Function, GatedFunction, Target};

/// What the texts promise: the largest error relative to the result, and where its terms cancel.
const RELATIVE: f64 = 1e-12;
const ABSOLUTE: f64 = 1e-15;

/// Formulas of every operation, of factors that vanish, powers that overflow, and switches.
const FORMULAS: &[&str] = &[
    "x * tanh(alpha * x); alpha = 1 in (0, 10)",
    "where(x > 0, x, alpha * (exp(x) - 1)) + beta * x; alpha = 0.5, beta = 0.1",
    "x / (1 + abs(x))",
    "x / sqrt(1 + alpha * x^2); alpha = 2 in [0.1, 4]",
    "(sqrt(x^2 + 1) - 1) / 2 - x",
    "x * atan(x)",
    "ln(cosh(x / 3))",
    "x * exp(-x^2)",
    "sin(x) * exp(-abs(x))",
    "x * cos(x) + erf(x)",
    "sinh(x) / cosh(x) - x^3 / 3",
    "floor(x) * sign(x - 1 / 2) + x",
    "min(max(alpha * x, -1), 1); alpha = 0.25",
    "x * min(max(x + 3, 0), 6) / 6",
    "where(x >= 1, ln(x), x - 1)",
    "round(x) - floor(x / 2)",
    "max(x, 0)^1.5",
    "(1 + max(x, 0))^k; k = 0.3 in [0, 2]",
    "x^5 - 3 * x^3 + lambda * x; lambda = 2",
    "(x^3 + x) / (1 + x^2)",
    "log1mexp(-1 - abs(x))",
    "1 if x > 0 else 0",
    "3",
    "a * tanh(b)",
    "a * sigmoid(k * b); k = 2",
    "max(a, b) + min(a * b, 1)",
    "a * exp(-b^2)",
    "where(a > b, a, tanh(b))",
];

/// A function, what is exported of it, and what the library says at the values of its parameters.
struct Case {
    /// What it is called in the exported texts.
    name: String,
    /// The words that `nonlin export` takes.
    words: Vec<String>,
    gated: bool,
    /// Whether it is made of a formula.
    formula: bool,
    params: Vec<f64>,
    /// Value and derivatives.
    of: Box<dyn Fn(f64, f64) -> Vec<f64>>,
}

impl Case {
    fn operands(&self) -> usize {
        1 + usize::from(self.gated)
    }

    fn elementwise(name: String, words: Vec<String>, f: Function) -> Self {
        let params = f.values().to_vec();
        let of = Box::new(move |x, _| vec![f.value(x), f.slope(x)]);
        Case { name, words, gated: false, formula: false, params, of }
    }

    fn gated(name: String, words: Vec<String>, f: GatedFunction) -> Self {
        let of = Box::new(move |a, b| {
            let (mut y, mut da, mut db) = ([0.0], [0.0], [0.0]);
            f.forward(&[a], &[b], &mut y);
            f.backward(&[a], &[b], &[1.0], &mut da, &mut db);
            vec![y[0], da[0], db[0]]
        });
        Case { name, words, gated: true, formula: false, params: Vec::new(), of }
    }

    /// What `nonlin export` writes.
    fn text(&self, dir: &Path, target: Target) -> String {
        let mut words = vec!["export".to_owned()];
        words.extend(self.words.iter().cloned());
        words.extend([
            "--to".to_owned(),
            target.to_string(),
            "--name".to_owned(),
            self.name.clone(),
        ]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        good(dir, &words)
    }

    /// Whether the result `y` may stand for `want` though it differs by more than the relative bound.
    fn allowed(&self, i: usize, (a, b): (f64, f64), y: f64, want: f64) -> bool {
        let apart = (y - want).abs();
        let least = if a.abs() > 1e50 { 1e-150 } else { 1e-300 };
        if y == want || y.is_nan() && want.is_nan() || apart <= least {
            return true;
        }
        // A sine is as good as its argument.
        let waves = self.words[0].contains("sin") || self.words[0].contains("snake");
        if waves && apart <= 2e-13 * a.abs() {
            return true;
        }
        if want.is_nan() {
            // Infinity times 0 and the like, of which the text has the limit; a derivative by one
            // operand that does not depend on the other one.
            return !a.is_nan() || self.gated && i > 0;
        }
        if y.is_nan() && (a.is_nan() || b.is_nan()) {
            return self.gated && i > 0;
        }
        // Where infinite parts meet.
        if y.is_nan() && (a.is_infinite() && self.formula || b.is_infinite() && self.gated) {
            return true;
        }
        let size = if self.gated { b.abs().max(a.abs()).max(1.0) } else { 1.0 };
        // Where terms cancel: next to zeros, or in the derivative of a formula.
        if apart <= ABSOLUTE * size && (self.formula && i > 0 || self.passes_zero(i, a, b)) {
            return true;
        }
        // On the other side of a corner, within a rounding of the input.
        let near = |v: f64| [v * (1.0 - 4.0 * f64::EPSILON), v * (1.0 + 4.0 * f64::EPSILON)];
        let beside = near(a).map(|a| (a, b)).into_iter().chain(near(b).map(|b| (a, b)));
        beside.into_iter().any(|(a, b)| {
            let want = (self.of)(a, b)[i];
            (y - want).abs() <= RELATIVE * want.abs()
        })
    }

    /// Whether the value, or a derivative, passes through 0 near there.
    fn passes_zero(&self, i: usize, a: f64, b: f64) -> bool {
        let step = 1.0 / 64.0;
        let at = |da, db| (self.of)(a + da, b + db)[i];
        let ends = [(at(-step, 0.0), at(step, 0.0)), (at(0.0, -step), at(0.0, step))];
        ends.iter().any(|(left, right)| left * right <= 0.0)
    }

    /// The names of value and derivatives.
    fn functions(&self) -> Vec<String> {
        let name = &self.name;
        let by = |of: &[&str]| {
            let derivatives = of.iter().map(|by| format!("{name}_derivative{by}"));
            std::iter::once(name.clone()).chain(derivatives).collect()
        };
        if self.gated { by(&["_a", "_b"]) } else { by(&[""]) }
    }
}

/// The catalogue, at default parameters and at others, and formulas.
fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let elementwise = nonlin::functions().iter().map(|f| f.name());
    for name in elementwise.chain(nonlin::formulas().iter().map(|m| m.name)) {
        let f = nonlin::get(name).unwrap();
        let formula = nonlin::formulas().iter().any(|m| m.name == name);
        let case = Case::elementwise(format!("my_{name}"), vec![name.to_owned()], f.clone());
        all.push(Case { formula, ..case });
        // Other values, if they are allowed.
        let values: Vec<f64> =
            f.params().map(|(p, v)| (v * 0.75 + 0.125).clamp(p.low, p.high)).collect();
        if let (false, Ok(other)) = (values.is_empty(), f.with_values(&values)) {
            let mut words = vec![name.to_owned()];
            for (p, v) in other.params() {
                words.extend(["--param".to_owned(), format!("{}={v:?}", p.name)]);
            }
            let case = Case::elementwise(format!("other_{name}"), words, other.clone());
            all.push(Case { formula, ..case });
        }
    }
    let gated = nonlin::gated_functions().iter().map(|f| f.name());
    for name in gated.chain(nonlin::gated_formulas().iter().map(|m| m.name)) {
        let f = nonlin::gated(name).unwrap();
        all.push(Case::gated(format!("my_{name}"), vec![name.to_owned()], f));
    }
    for (i, text) in FORMULAS.iter().enumerate() {
        let (name, words) = (format!("formula_{i}"), vec![(*text).to_owned()]);
        let formula = Formula::parse(text).unwrap();
        let params = formula.params().map(|(_, v)| v).collect();
        let case = if formula.is_gated() {
            Case::gated(name, words, GatedFunction::parse(text).unwrap())
        } else {
            Case::elementwise(name, words, Function::parse(text).unwrap())
        };
        all.push(Case { params, formula: true, ..case });
    }
    all
}

/// Numbers of every exponent from 2^-40 to 2^12 and far out, special ones, and neighbours of corners.
fn inputs() -> Vec<f64> {
    let mut all =
        vec![0.0, 1e-300, 5e-324, 1e30, 1e100, 1e160, 1e300, 1e308, f64::INFINITY, f64::NAN];
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for exponent in -40..12 {
        for _ in 0..12 {
            all.push((1.0 + random()) * 2f64.powi(exponent));
        }
    }
    all.extend((0..400).map(|_| 8.0 * random()));
    for corner in [0.5, 1.0, 2.0, 3.0, 4.0, 6.0] {
        all.extend([corner, f64::next_up(corner), f64::next_down(corner)]);
    }
    all.iter().flat_map(|&x| [x, -x]).collect()
}

/// Second operands: the inputs in another order.
fn partners(all: &[f64]) -> Vec<f64> {
    let n = all.len();
    (0..n).map(|i| all[(i * 7 + 3) % n]).collect()
}

/// Compares what a target has computed, for each case value and derivatives one behind the other.
fn compare(target: Target, cases: &[Case], results: &[f64]) {
    let a = inputs();
    let b = partners(&a);
    let mut results = results.chunks_exact(a.len());
    let (mut worst, mut wrong, mut functions) = ((0.0f64, String::new()), String::new(), 0);
    for case in cases {
        for (i, function) in case.functions().iter().enumerate() {
            let results = results.next().expect("a result for each function and input");
            let mut count = 0;
            functions += 1;
            for (k, &y) in results.iter().enumerate() {
                let want = (case.of)(a[k], b[k])[i];
                let relative = (y - want).abs() / want.abs();
                if relative <= RELATIVE {
                    if relative > worst.0 {
                        worst = (relative, format!("{function} at {:e}", a[k]));
                    }
                } else if !case.allowed(i, (a[k], b[k]), y, want) {
                    count += 1;
                    if count <= 3 {
                        let at = format!("{:e}, {:e}", a[k], b[k]);
                        let _ = writeln!(
                            wrong,
                            "{function} {:?} at {at}: {y:e} for {want:e}",
                            case.words
                        );
                    }
                }
            }
            if count > 3 {
                let _ = writeln!(wrong, "{function}: {count} inputs in all");
            }
        }
    }
    assert!(results.next().is_none());
    assert!(wrong.is_empty(), "{target}:\n{wrong}");
    let _ = writeln!(
        std::io::stdout(),
        "{target}: {functions} functions, {} inputs each; largest error {:.1e} of the result, {}",
        a.len(),
        worst.0,
        worst.1
    );
}

fn save(path: &Path, values: &[f64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(path, bytes).unwrap();
}

fn load(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A place with the inputs in files.
fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let a = inputs();
    save(&dir.path().join("a"), &a);
    save(&dir.path().join("b"), &partners(&a));
    dir
}

/// Whether there is that compiler; a line says so if not, and it is a failure where all is required.
fn there_is(compiler: &str) -> bool {
    let there = Command::new(compiler).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        let required = std::env::var("NONLIN_REQUIRE").unwrap_or_default();
        let wanted = required.split(',').any(|w| w.trim() == "all");
        assert!(!wanted, "NONLIN_REQUIRE wants all, but there is no {compiler}");
        let _ = writeln!(std::io::stdout(), "SKIPPED: there is no {compiler}");
    }
    there
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(warnings.is_empty(), "{warnings}");
    output.stdout
}

/// The arguments of a call in a harness.
fn call(case: &Case, function: &str) -> String {
    let operands = ["a[i]", "b[i]"][..case.operands()].iter().map(|s| (*s).to_owned());
    let params = case.params.iter().map(|p| format!("{p:?}"));
    format!("{function}({})", operands.chain(params).collect::<Vec<_>>().join(", "))
}

#[test]
fn c_computes_what_the_library_does() {
    if !there_is("gcc") {
        return;
    }
    let dir = workplace();
    let cases = cases();
    let n = inputs().len();
    let mut compile = Command::new("gcc");
    compile.current_dir(dir.path());
    compile.args([
        "-std=c99",
        "-O1",
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-Wno-unused-function",
    ]);
    compile.arg("-ffp-contract=off");
    let (mut declared, mut calls) = (String::new(), String::new());
    for case in &cases {
        let text = case.text(dir.path(), Target::C);
        let file = format!("{}.c", case.name);
        fs::write(dir.path().join(&file), &text).unwrap();
        compile.arg(&file);
        for function in case.functions() {
            let types = vec!["double"; case.operands() + case.params.len()].join(", ");
            let floats = types.replace("double", "float");
            let _ = writeln!(declared, "double {function}({types});\nfloat {function}f({floats});");
            let double = call(case, &function);
            let _ = writeln!(
                calls,
                "    for (i = 0; i < {n}; i++) y[i] = {double};\n    fwrite(y, 8, {n}, stdout);"
            );
            // The function of floats is the one of doubles, rounded.
            let single = double.replace(&format!("{function}("), &format!("{function}f("));
            let single = single.replace("a[i]", "(float)a[i]").replace("b[i]", "(float)b[i]");
            let of_single = double
                .replace("a[i]", "(double)(float)a[i]")
                .replace("b[i]", "(double)(float)b[i]");
            if case.params.is_empty() {
                let _ = writeln!(
                    calls,
                    "    for (i = 0; i < {n}; i++) {{ float s = {single}, d = (float){of_single}; if (s != d && s == s) return 1; }}"
                );
            }
        }
    }
    let main = format!(
        "#include <stdio.h>\n{declared}\nstatic double a[{n}], b[{n}], y[{n}];\n\
         static int load(const char *name, double *to) {{\n    FILE *f = fopen(name, \"rb\");\n    \
         return f && fread(to, 8, {n}, f) == {n};\n}}\n\
         int main(void) {{\n    int i;\n    if (!load(\"a\", a) || !load(\"b\", b)) return 2;\n{calls}    return 0;\n}}\n"
    );
    fs::write(dir.path().join("main.c"), main).unwrap();
    compile.args(["main.c", "-o", "main", "-lm"]);
    run(&mut compile);
    let results = run(Command::new(dir.path().join("main")).current_dir(dir.path()));
    compare(Target::C, &cases, &load(&results));
}

#[test]
fn rust_computes_what_the_library_does() {
    if !there_is("rustc") {
        return;
    }
    let dir = workplace();
    let cases = cases();
    let (mut modules, mut calls) = (String::new(), String::new());
    for case in &cases {
        let file = format!("{}.rs", case.name);
        fs::write(dir.path().join(&file), case.text(dir.path(), Target::Rust)).unwrap();
        let _ = writeln!(modules, "mod {};", case.name);
        for function in case.functions() {
            let call = call(case, &format!("{}::{function}", case.name));
            let _ = writeln!(
                calls,
                "    for i in 0..a.len() {{ out.write_all(&{call}.to_le_bytes()).unwrap(); }}"
            );
        }
    }
    let main = format!(
        "use std::io::Write;\n{modules}\nfn load(name: &str) -> Vec<f64> {{\n    \
         let bytes = std::fs::read(name).unwrap();\n    \
         bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()\n}}\n\
         fn main() {{\n    let (a, b) = (load(\"a\"), load(\"b\"));\n    \
         let mut out = std::io::BufWriter::new(std::io::stdout());\n{calls}}}\n"
    );
    fs::write(dir.path().join("main.rs"), main).unwrap();
    let mut compile = Command::new("rustc");
    // The usual values of parameters are there for callers.
    compile.args(["--edition=2021", "-Dwarnings", "-Adead_code", "main.rs", "-o", "main"]);
    run(compile.current_dir(dir.path()));
    let results = run(Command::new(dir.path().join("main")).current_dir(dir.path()));
    compare(Target::Rust, &cases, &load(&results));
}

#[test]
fn numpy_computes_what_the_library_does() {
    let dir = workplace();
    let cases = cases();
    let mut script = String::from("import warnings\nwarnings.simplefilter('error')\n");
    script += "a, b = np.fromfile('a'), np.fromfile('b')\nout = open('out', 'wb')\n";
    for case in &cases {
        let file = format!("{}.py", case.name);
        fs::write(dir.path().join(&file), case.text(dir.path(), Target::Python)).unwrap();
        let _ = writeln!(script, "import {}", case.name);
        for (i, function) in case.functions().iter().enumerate() {
            let call = call(case, &format!("{}.{function}", case.name)).replace("[i]", "");
            let _ =
                writeln!(script, "y = {call}\nassert y.dtype == a.dtype and y.shape == a.shape");
            let _ = writeln!(script, "y.tofile(out)");
            // Other types are that, rounded; parameters have defaults; a number is one.
            if i == 0 {
                let single = call.replace("(a", "(np.float32(a)").replace(", b", ", np.float32(b)");
                let _ = writeln!(script, "with np.errstate(all='ignore'):\n    y = {single}");
                let _ = writeln!(script, "assert y.dtype == np.float32 and y.shape == a.shape");
                let one = ["1.0", "2.0"][..case.operands()].join(", ");
                let _ = writeln!(script, "assert np.ndim({}.{function}({one})) == 0", case.name);
            }
        }
    }
    script += "out.close()\n";
    fs::write(dir.path().join("run.py"), &script).unwrap();
    if common::python(
        dir.path(),
        "import sys; sys.path.insert(0, '.'); exec(open('run.py').read())",
    ) {
        let results = fs::read(dir.path().join("out")).unwrap();
        compare(Target::Python, &cases, &load(&results));
    }
}

#[test]
fn latex_is_balanced() {
    let dir = tempfile::tempdir().unwrap();
    for case in cases() {
        let text = case.text(dir.path(), Target::Latex);
        let body: String = text.lines().filter(|l| !l.starts_with('%')).collect();
        for (open, close) in [("{", "}"), (r"\left", r"\right"), (r"\begin", r"\end")] {
            let count = |part: &str| body.matches(part).count();
            let pairs = if open == r"\left" { count(r"\leftarrow") } else { 0 };
            assert_eq!(count(open) - pairs, count(close), "{}: {text}", case.name);
        }
        let derivatives = if case.gated { 2 } else { 1 };
        let marks = body.matches("'(x) &= ").count() + body.matches(r"\partial ").count() / 2;
        assert_eq!(marks, derivatives, "{text}");
    }
    let text =
        good(dir.path(), &["export", "1 / (1 + exp(-beta_2 * x)); beta_2 = 1/3", "--to", "latex"]);
    assert!(
        text.contains(r"\operatorname{activation}(x) &= \sigma\left(\beta_{2} \, x\right) \\"),
        "{text}"
    );
    assert!(text.contains("% beta_2: 1/3."), "{text}");
}

#[test]
fn a_file_or_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let text = good(dir.path(), &["export", "gelu", "--to", "c"]);
    assert!(text.contains("double gelu(double x)") && text.contains("gelu_derivative(double x)"));
    for to in ["gelu.c", "-"] {
        let printed = good(dir.path(), &["export", "gelu", "--to", "c", "-o", to]);
        assert_eq!(printed, if to == "-" { text.as_str() } else { "" });
    }
    assert_eq!(fs::read_to_string(dir.path().join("gelu.c")).unwrap(), text);
    // A model is bytes, which a pipe takes.
    let output = command(dir.path()).args(["export", "gelu", "--to", "onnx"]).output().unwrap();
    let file = good(dir.path(), &["export", "gelu", "--to", "onnx", "-o", "gelu.onnx"]);
    assert_eq!((file.as_str(), output.status.success()), ("", true));
    assert_eq!(fs::read(dir.path().join("gelu.onnx")).unwrap(), output.stdout);
    assert_eq!(names(dir.path()), ["gelu.c", "gelu.onnx"]);
}

#[test]
fn names_are_free_in_each_language() {
    let dir = tempfile::tempdir().unwrap();
    let export = |name: &str, to: &str| good(dir.path(), &["export", name, "--to", to]);
    assert!(export("tanh", "c").contains("double tanh_(double x)"));
    assert!(export("tanh", "python").contains("def tanh(x):"));
    let text = "x * lambda + double; lambda = 1, double = 2";
    assert!(
        export(text, "c").contains("double activation(double x, double lambda, double double_)")
    );
    assert!(export(text, "python").contains("def activation(x, lambda_=1.0, double=2.0):"));
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old"), "old").unwrap();
    for (words, part) in [
        (&["export", "gelu", "--to", "d", "-o", "old"][..], "did you mean `c`"),
        (
            &["export", "gelu", "--to", "fortran", "-o", "old"],
            "c, rust, python, torch, jax, onnx, latex",
        ),
        (&["export", "gellu", "--to", "c", "-o", "old"], "did you mean `gelu`"),
        (&["export", "softmax", "--to", "c", "-o", "old"], "works on rows"),
        (&["export", "elu", "--to", "c", "-o", "old", "--param", "beta=1"], "it has alpha"),
        (&["export", "gelu", "--to", "c", "-o", "old", "--name", "my-gelu"], "write it as my_gelu"),
        (&["export", "gelu", "--to", "c", "-o", "nowhere/gelu.c"], "does not exist"),
        (&["export", "gelu"], "--to"),
    ] {
        let line = bad(dir.path(), words);
        assert!(line.contains(part), "{words:?}: {line}");
        assert_eq!(fs::read_to_string(dir.path().join("old")).unwrap(), "old");
        assert_eq!(names(dir.path()), ["old"]);
    }
}
