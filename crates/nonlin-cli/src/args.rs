//! What the command line may say.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};

use nonlin::Target;

use crate::bench::Inputs;

/// Neural-network activation functions: list, show, plot and apply them.
#[derive(Debug, Parser)]
#[command(
    name = "nonlin",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  nonlin list
  nonlin show gelu
  nonlin plot gelu silu mish -o compare.svg
  nonlin apply gelu x.npy -o y.npy
  echo '-1 0 1' | nonlin apply tanh
  nonlin show 'x * tanh(alpha * x); alpha = 1 in (0, 10)'"
)]
pub struct Args {
    /// Functions of your own: a TOML file with a table for each, `[name]` with a `formula`
    #[arg(long, global = true, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A subcommand with its options.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply a function, or a derivative of it, to arrays in files or numbers on standard input
    Apply(Box<Apply>),
    /// Time functions next to memcpy and other yardsticks
    Bench(Bench),
    /// Show how a formula is computed: what is rewritten, the program, and the errors before and after
    Explain(Explain),
    /// Write a function or a formula, and its derivative, in another language
    Export(Export),
    /// List all functions: names, parameters, formulas, sources
    List(List),
    /// Show all about one function: formula, curve, properties, error and speed measured now
    Show(Show),
    /// Draw functions or their derivatives as SVG or PNG
    Plot(Plot),
    /// Measure errors of values and derivatives and hold them against the contract
    Verify(Verify),
}

/// The parameters of a function.
#[derive(Debug, Group)]
pub struct Params {
    /// Set a parameter, such as alpha=0.5; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<(String, f64)>,
}

/// Options of `nonlin apply`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin apply gelu x.npy -o y.npy
  nonlin apply elu x.npy -o y.npy --param alpha=0.5 --threads 8
  nonlin apply silu x.npy -o slope.npy --derivative
  nonlin apply silu x.npy -o dx.npy --backward dy.npy
  nonlin apply tanh y.npy -o dx.npy --backward-from-output dy.npy
  nonlin apply gelu x.npy -o curvature.npy --second-derivative
  nonlin apply softmax logits.npy -o p.npy --axis 1
  nonlin apply softmax scores.npy -o p.npy --mask padding.npy --causal
  nonlin apply softmax images.npy -o p.npy --axis 2,3
  nonlin apply prelu x.npy -o y.npy --weight slopes.npy --axis 1
  nonlin apply swiglu gate.npy value.npy -o y.npy
  nonlin apply swiglu packed.npy -o y.npy --split-axis -1
  nonlin apply swiglu packed.npy -o y.npy --packed interleaved --gate second
  nonlin apply swiglu a.npy b.npy -o da.npy -o db.npy --backward dy.npy
  nonlin apply relu model.safetensors -o out.safetensors --tensor layer1.bias
  nonlin apply swiglu mlp.safetensors -o y.safetensors --tensor gate --tensor up
  nonlin apply mish arrays.npz -o y.npz
  nonlin apply gelu bf16.npy -o y.npy --as bf16
  echo '-1 0 1' | nonlin apply tanh
  nonlin apply 'x * tanh(x / 2)' x.npy -o y.npy
  nonlin apply 'a * tanh(k * b); k = 1' a.npy b.npy -o y.npy --param k=2

The output has the shape and storage order of the input, and its type: integers become
floats as with NumPy's exp (relu and identity keep them). It appears whole or not at all.
Arrays of .npz and .safetensors files keep their names (of two operands the first one's), and
those that cannot be computed on are copied. Numbers on standard input are a line of results for
each line; white space, commas and semicolons separate them, # begins a comment.")]
pub struct Apply {
    /// Name of the function, as `nonlin list` has it, or a formula in x, or in a and b
    pub name: String,
    /// .npy, .npz or .safetensors files, two for gated functions; standard input if absent or -
    #[arg(value_name = "INPUT", num_args = 0..=2)]
    pub inputs: Vec<PathBuf>,
    /// Where to write; twice for both gradients of a gated function. Standard output if -, and
    /// for numbers on standard input
    #[arg(short, long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
    #[command(flatten)]
    /// Parameters.
    pub params: Params,
    /// Compute the derivative instead; of a gated function the partial one by a or b
    #[arg(long, value_name = "a|b", num_args = 0..=1, require_equals = true, conflicts_with = "backward")]
    pub derivative: Option<Option<String>>,
    /// Compute the second derivative of an elementwise function instead
    #[arg(long, conflicts_with_all = ["derivative", "backward", "backward_from_output", "train"])]
    pub second_derivative: bool,
    /// Compute the gradient by the input from this one by the output
    #[arg(long, value_name = "GRADIENT")]
    pub backward: Option<PathBuf>,
    /// Compute that gradient where INPUT is the saved output: sigmoid, tanh, the relu and elu
    /// families, softplus, softmax
    #[arg(long, value_name = "GRADIENT", conflicts_with_all = ["backward", "derivative"])]
    pub backward_from_output: Option<PathBuf>,
    /// Axis of a row-wise function, several as 1,2 or all of them as all; negative counts from the
    /// end. With --weight the axis of channels, 1 if absent
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true, value_parser = axes)]
    pub axis: Option<Axes>,
    /// Scores of a row-wise function that take part where this file has bools, or what is added to
    /// them where it has floats; its shape is repeated as NumPy does
    #[arg(long, value_name = "MASK")]
    pub mask: Option<PathBuf>,
    /// Query i sees keys up to i + OFFSET, 0 if absent: keys lie along the axis, queries along the
    /// one before it
    #[arg(long, value_name = "OFFSET", num_args = 0..=1, require_equals = true, default_missing_value = "0", allow_negative_numbers = true)]
    pub causal: Option<isize>,
    /// Query i sees so many keys before and behind i + OFFSET of --causal; no limit where one is
    /// left out, as in 127: or :1
    #[arg(long, value_name = "BEFORE:AFTER", value_parser = window)]
    pub window: Option<(usize, usize)>,
    /// What a row is of which nothing takes part: nan or zero
    #[arg(long, value_name = "VALUE", value_parser = ["nan", "zero"])]
    pub empty_rows: Option<String>,
    /// Weights of prelu, one for each channel or one for all; with --backward the second output is
    /// the gradient by them
    #[arg(long, value_name = "WEIGHT", conflicts_with_all = ["train", "second_derivative", "backward_from_output"])]
    pub weight: Option<PathBuf>,
    /// Axis along which one input packs both operands of a gated function; the last if only
    /// --packed is given
    #[arg(long, value_name = "AXIS", allow_negative_numbers = true)]
    pub split_axis: Option<isize>,
    /// How they are packed: halves, one behind the other, or interleaved, element by element; halves
    /// if only --split-axis is given
    #[arg(long, value_name = "LAYOUT", value_parser = ["halves", "interleaved"])]
    pub packed: Option<String>,
    /// Which operand of a gated function is the gate: first or second; by default that of its formula
    #[arg(long, value_name = "OPERAND", value_parser = ["first", "second"])]
    pub gate: Option<String>,
    /// Array of a .npz or .safetensors file; may be repeated; all of them if absent. Two are both
    /// operands of a gated function, a and then b, if one input has them, or each input one
    #[arg(long = "tensor", visible_alias = "array", value_name = "NAME")]
    pub tensors: Vec<String>,
    /// Take raw pairs of bytes and uint16 in .npy and .npz files for this type, and write it so: bf16
    #[arg(long = "as", value_name = "TYPE", value_parser = ["bf16"])]
    pub raw: Option<String>,
    /// Threads to compute with
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub threads: usize,
    /// Instructions: baseline, avx2, avx512 or neon; the best of this processor if absent
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Elements that a thread computes at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub block: Option<u64>,
    /// Seed of functions that draw random numbers
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// As in training: functions that draw random numbers draw them
    #[arg(long, requires = "seed")]
    pub train: bool,
}

/// What `--axis` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Every axis.
    All,
    /// These, negative ones counted from the end.
    These(Vec<isize>),
}

impl Apply {
    /// The axis that packs both operands of a gated function, if one does.
    #[must_use]
    pub fn packed_axis(&self) -> Option<isize> {
        self.split_axis.or(self.packed.as_ref().map(|_| -1))
    }

    /// Whether operands are packed element by element.
    #[must_use]
    pub fn interleaved(&self) -> bool {
        self.packed.as_deref() == Some("interleaved")
    }
}

/// Options of `nonlin bench`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin bench
  nonlin bench gelu silu softmax
  nonlin bench sigmoid --dtype bf16 --size 33554432 --threads 2
  nonlin bench tanh --inputs saturated --layouts
  nonlin bench swiglu --level avx2 --json
  nonlin bench mish 'x * tanh(ln(1 + exp(x)) / 2)'

Inputs are seeded. All calls take turns, and the median
round counts. Softmax runs over rows of 1024.")]
pub struct Bench {
    /// Functions of any kind, or formulas; all functions if absent
    pub names: Vec<String>,
    /// Type: f32, f64, f16 or bf16
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub dtype: String,
    /// Elements of an array: 16384 f32 stay in the second cache, 33554432 in none
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub size: u64,
    /// What is in the arrays: normal (deviation 3), uniform (-8 to 8), wide (exponents from -14 to
    /// 14), saturated (20 to 60), nan, subnormal, or tails (whose exponentials are subnormal)
    #[arg(long, value_name = "KIND", default_value = "normal", value_parser = Inputs::parse)]
    pub inputs: Inputs,
    /// Also time arrays of odd length, and such that begin beside a multiple of 64 bytes
    #[arg(long)]
    pub layouts: bool,
    /// Threads to compute with
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub threads: usize,
    /// Instructions: baseline, avx2, avx512 or neon; the best of this processor if absent
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `nonlin explain`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin explain 'x * 0.5 * (1 + erf(x / sqrt(2)))'
  nonlin explain 'where(x > 0, x, alpha * (exp(x) - 1)); alpha = 0.5 in (0, 1)'
  nonlin explain 'ln(cosh(x))' --json")]
pub struct Explain {
    /// A formula in x, or in a and b, and parameters
    pub formula: String,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `nonlin export`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin export gelu --to c -o gelu.c
  nonlin export elu --to rust --param alpha=0.5
  nonlin export 'x * tanh(alpha * x); alpha = 1 in (0, 10)' --to python --name tanh_gate
  nonlin export 'a * sigmoid(b)' --to latex

Value and derivative are computed in the stable form that `nonlin explain` shows; parameters are
arguments, with their values as defaults. Targets: c is C99 with math.h, rust needs the standard
library alone, python needs NumPy, latex is for amsmath. A comment says how close results are to
nonlin's. A file appears whole or not at all.")]
pub struct Export {
    /// Name of an elementwise or gated function, as `nonlin list` has it, or a formula in x, or in
    /// a and b
    #[arg(value_name = "NAME-OR-FORMULA")]
    pub function: String,
    /// Language or format: c, rust, python or latex
    #[arg(long, value_name = "TARGET", value_parser = target)]
    pub to: Target,
    /// Where to write; standard output if absent or -
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What the exported function is called; its own name, or activation, if absent
    #[arg(long, value_name = "NAME", value_parser = identifier)]
    pub name: Option<String>,
    #[command(flatten)]
    /// Parameters.
    pub params: Params,
}

/// Options of `nonlin list`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin list
  nonlin list --json | jq -r '.[].name'")]
pub struct List {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `nonlin show`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin show gelu
  nonlin show elu --param alpha=0.5
  nonlin show mish --json
  nonlin show 'where(x > 0, x, tanh(x)) + beta; beta = 0.1' --param beta=0")]
pub struct Show {
    /// Name of the function, as `nonlin list` has it, or a formula in x, or in a and b
    pub name: String,
    #[command(flatten)]
    /// Parameters.
    pub params: Params,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `nonlin verify`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin verify
  nonlin verify gelu silu --dtype f32
  nonlin verify tanh --exhaustive
  nonlin verify swiglu --level avx2 --json
  nonlin verify 'x * tanh(x / 2)' --dtype f32

Exit status 1 says that the contract does not hold. Samples take every exponent of the type and
the neighbourhood of delicate points; f16 and bf16 are tried in full; --exhaustive takes all 2^32
inputs of f32, and calls a bound stale that is looser than the truth by more than 0.25. f' is the
derivative, g f' the gradient by the input for gradients from 2^-8 to 2^8. Columns: steps, from a
number to the next that lead back where f rises, of which none may be larger than one unit, and
astray, results outside the range of f, that break its symmetry, or rows that do not sum to 1;
--exhaustive counts them, of rows every run does. Of a formula nothing is promised: its errors are
measured, and have no bound.")]
pub struct Verify {
    /// Functions of any kind, or formulas, which are measured; all functions if absent
    pub names: Vec<String>,
    /// One type only: f32, f64, f16 or bf16
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,
    /// All inputs of f32, or of f16 or bf16 if --dtype says so; elementwise functions
    #[arg(long)]
    pub exhaustive: bool,
    /// Points of a sample
    #[arg(long, value_name = "N", default_value_t = 1 << 22, value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    pub points: u64,
    /// Instructions: baseline, avx2, avx512 or neon; the best of this processor if absent
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Append what an exhaustive run finds to this file; functions that it has are left out
    #[arg(long, value_name = "FILE", requires = "exhaustive")]
    pub record: Option<PathBuf>,
    /// Only compute the digests of all results again, at every level, and compare them with a record
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exhaustive", "dtype", "level"])]
    pub digests: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `nonlin plot`.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  nonlin plot gelu silu mish -o compare.svg
  nonlin plot sigmoid tanh -o slopes.png --derivative --range -4:4
  nonlin plot elu:alpha=0.5 elu:alpha=1 elu:alpha=2 -o elu.png
  nonlin plot silu 'x * tanh(x)' -o compare.svg")]
pub struct Plot {
    /// Names of functions or formulas, with parameters as in elu:alpha=0.5
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Where to write, .svg or .png
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    /// Parameters of every function.
    pub params: Params,
    /// Draw f' instead of f
    #[arg(long)]
    pub derivative: bool,
    /// Left and right end
    #[arg(long, value_name = "A:B", default_value = "-6:6", value_parser = range, allow_hyphen_values = true)]
    pub range: (f64, f64),
}

/// `alpha=0.5`. NaN passes: the function's own error tells the bounds.
pub fn param(text: &str) -> Result<(String, f64), String> {
    let (name, value) =
        text.split_once('=').ok_or("there is no '='; write it as alpha=0.5".to_owned())?;
    let number = value.trim().parse();
    let number = number.map_err(|_| format!("{value:?} is not a number; write it as alpha=0.5"))?;
    Ok((name.trim().to_owned(), number))
}

/// The most threads; more only cost memory.
const MAX_THREADS: usize = 1024;

fn target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|e: nonlin::Error| e.to_string())
}

fn identifier(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err("a name has letters, digits and _, and begins with a letter; write it as my_gelu"
        .to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    number.ok_or(format!("it must be from 1 to {MAX_THREADS}"))
}

fn axes(text: &str) -> Result<Axes, String> {
    if text == "all" {
        return Ok(Axes::All);
    }
    let axis = |text: &str| text.trim().parse::<isize>().ok();
    let all: Option<Vec<isize>> = text.split(',').map(axis).collect();
    all.map(Axes::These).ok_or("it must be an axis, several as 1,2, or all".to_owned())
}

fn window(text: &str) -> Result<(usize, usize), String> {
    let (before, after) =
        text.split_once(':').ok_or("there is no ':'; write it as 127:0".to_owned())?;
    let end = |text: &str| match text.trim() {
        "" => Ok(usize::MAX),
        text => text.parse().map_err(|_| format!("{text:?} is not a number of keys")),
    };
    Ok((end(before)?, end(after)?))
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let ends = text.split_once(':').ok_or("there is no ':'; write it as -6:6".to_owned())?;
    let end = |text: &str| {
        let number: Option<f64> = text.trim().parse().ok();
        number.filter(|v| v.is_finite()).ok_or(format!("{text:?} is not a finite number"))
    };
    let (left, right) = (end(ends.0)?, end(ends.1)?);
    if left < right && (right - left).is_finite() {
        return Ok((left, right));
    }
    Err(format!("the left end {left} must be below the right end {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_parsed() {
        assert_eq!(param("alpha = 0.5"), Ok(("alpha".to_owned(), 0.5)));
        assert!(param("alpha").is_err() && param("alpha=x").is_err());
        assert_eq!(range("-1e2:0.5"), Ok((-100.0, 0.5)));
        for bad in ["1", "1:1", "2:1", "nan:1", "0:inf", "-1e308:1e308"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        let args =
            ["nonlin", "apply", "softmax", "x.npy", "-o", "y.npy", "--axis", "-1", "--derivative"];
        let Command::Apply(apply) = Args::parse_from(args).command else { unreachable!() };
        assert_eq!(apply.axis, Some(Axes::These(vec![-1])));
        assert_eq!(apply.derivative, Some(None));
        assert_eq!(axes("0,-2"), Ok(Axes::These(vec![0, -2])));
        assert_eq!(axes("all"), Ok(Axes::All));
        assert!(axes("").is_err() && axes("1,").is_err() && axes("x").is_err());
        assert_eq!(window("127:0"), Ok((127, 0)));
        assert_eq!(window(":1"), Ok((usize::MAX, 1)));
        assert_eq!(identifier("my_gelu2"), Ok("my_gelu2".to_owned()));
        for bad in ["", "2x", "_x", "a-b", "a b", "\u{e4}"] {
            assert!(identifier(bad).is_err(), "{bad}");
        }
        assert!(window("3").is_err() && window("-1:0").is_err());
        let causal = |word: &str| {
            let args = ["nonlin", "apply", "softmax", word, "x.npy"];
            let Command::Apply(apply) = Args::parse_from(args).command else { unreachable!() };
            (apply.causal, apply.inputs.len())
        };
        assert_eq!(causal("--causal"), (Some(0), 1));
        assert_eq!(causal("--causal=-3"), (Some(-3), 1));
    }
}
