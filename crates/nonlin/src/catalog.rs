//! Look-up by name: every function, its aliases, and the nearest name to a misspelt one.

mod formulas;

use crate::activation::Meta;
use crate::error::{Error, Kind};
use crate::formula::Formula;
use crate::function::Function;
use crate::functions::{ELEMENTWISE, GATED, ROWWISE};
use crate::gated::GatedFunction;
use crate::level::Level;
use crate::names;
use crate::rows::RowFunction;
use alloc::{string::String, vec, vec::Vec};
use core::str::FromStr;

/// A name as it is compared, for distances between names.
fn key(name: &str) -> String {
    names::letters(name).collect()
}

/// The name without what follows in parentheses: `GELU (approximate="tanh")` is `GELU`.
fn bare(name: &str) -> &str {
    name.split('(').next().unwrap_or(name).trim()
}

/// Every elementwise function, with its default parameters, sorted by name.
#[must_use]
pub fn functions() -> &'static [&'static Function] {
    ELEMENTWISE
}

/// What is said about the functions that are defined by a formula, sorted by name: [`get`] makes one of
/// them when it is asked for.
///
/// ```
/// let all = nonlin::formulas();
/// let snake = all.iter().find(|m| m.name == "snake").unwrap();
/// assert_eq!(snake.formula, "x + sin(alpha * x)^2 / alpha; alpha = 1 in [0.000001, 1000000]");
/// assert_eq!(nonlin::get("snake")?.with("alpha", 2.0)?.value(0.5f32), 0.8540367); // 0.5 + sin(1)^2 / 2
/// # Ok::<(), nonlin::Error>(())
/// ```
#[must_use]
pub fn formulas() -> &'static [Meta] {
    formulas::ELEMENTWISE
}

/// What is said about the gated functions that are defined by a formula, sorted by name: [`gated`] makes
/// one of them when it is asked for.
#[must_use]
pub fn gated_formulas() -> &'static [Meta] {
    formulas::GATED
}

/// Every gated function, with its usual gate, sorted by name.
#[must_use]
pub fn gated_functions() -> &'static [&'static GatedFunction] {
    GATED
}

/// Every row-wise function, with a scale of 1, sorted by name.
#[must_use]
pub fn rowwise_functions() -> &'static [&'static RowFunction] {
    ROWWISE
}

/// All names that a function is found by: its own, its aliases, and the names in frameworks that
/// need no argument.
///
/// A framework's name is taken only where it means the definition without further arguments.
fn names_of(meta: Meta) -> impl Iterator<Item = &'static str> {
    let plain = |n: &&'static str| !n.is_empty() && !n.contains('(');
    let frameworks = [meta.pytorch, meta.onnx, meta.keras].into_iter().filter(plain);
    core::iter::once(meta.name).chain(meta.aliases.iter().copied()).chain(frameworks)
}

/// The name that a definition has in a framework.
type Own = fn(&Meta) -> &'static str;

/// Modules of frameworks with the short names that they are imported by, and the name that a definition
/// has there.
const MODULES: [(&str, Own); 14] = [
    ("torch.nn.functional.", |m| m.pytorch),
    ("torch.nn.", |m| m.pytorch),
    ("torch.special.", |m| m.pytorch),
    ("torch.", |m| m.pytorch),
    ("nn.functional.", |m| m.pytorch),
    ("nn.", |m| m.pytorch),
    ("F.", |m| m.pytorch),
    ("jax.nn.", |m| m.jax),
    ("jax.numpy.", |m| m.jax),
    ("jnp.", |m| m.jax),
    ("keras.activations.", |m| m.keras),
    ("keras.ops.", |m| m.keras),
    ("mlx.nn.", |m| m.name),
    ("nonlin.", |m| m.name),
];

/// Of some definitions the one called `name`: with a module before it, first the one that has the name
/// there (JAX's `gelu` is `gelu_tanh`).
fn find<D>(all: impl Iterator<Item = D> + Clone, meta: fn(&D) -> Meta, name: &str) -> Option<D> {
    let qualified = MODULES.iter().find_map(|(m, own)| Some((own, name.strip_prefix(m)?)));
    let name = qualified.map_or(name, |(_, rest)| rest);
    let there =
        qualified.and_then(|(own, _)| all.clone().find(|d| names::same(own(&meta(d)), name)));
    there.or_else(|| all.clone().find(|d| names_of(meta(d)).any(|n| names::same(n, name))))
}

/// The formula of that name.
pub(crate) fn formula(name: &str) -> Option<&'static Meta> {
    find(formulas().iter().chain(gated_formulas()), |m| **m, name)
}

/// The elementwise function called `name`; letter case, `-` and `_` do not matter.
///
/// ```
/// assert_eq!(nonlin::get("SiLU")?.name(), "silu");
/// assert_eq!(nonlin::get("swish")?.name(), "silu");
/// assert_eq!(nonlin::get("sillu").unwrap_err().to_string(), "unknown function `sillu`; did you mean `silu`?");
/// # Ok::<(), nonlin::Error>(())
/// ```
///
/// # Errors
/// If there is none; the error names one that is spelt nearly so, or the kind of function it is.
pub fn get(name: &str) -> Result<Function, Error> {
    let found = find(functions().iter(), |f| f.meta(), name);
    match (found, find(formulas().iter(), |m| **m, name)) {
        (Some(f), _) => Ok((*f).clone()),
        (None, Some(meta)) => Formula::parse(meta.formula)?.function(*meta),
        (None, None) => Err(unknown(name, Kind::Elementwise)),
    }
}

/// [`get`] with PyTorch's argument: `gelu` with `approximate="tanh"` is `gelu_tanh`.
///
/// # Errors
/// If there is no such function, or it has no such form.
pub fn get_approximate(name: &str, approximate: &str) -> Result<Function, Error> {
    let f = get(name)?;
    match approximate {
        "none" => Ok(f),
        form => {
            let mut variant = String::from(f.name());
            variant.push('_');
            variant.push_str(form);
            get(&variant)
        }
    }
}

/// The gated function called `name`.
///
/// # Errors
/// If there is none; the error names one that is spelt nearly so, or the kind of function it is.
pub fn gated(name: &str) -> Result<GatedFunction, Error> {
    let found = find(gated_functions().iter(), |f| f.meta(), name);
    match (found, find(gated_formulas().iter(), |m| **m, name)) {
        (Some(f), _) => Ok((*f).clone()),
        (None, Some(meta)) => Formula::parse(meta.formula)?.gated_function(*meta),
        (None, None) => Err(unknown(name, Kind::Gated)),
    }
}

/// The row-wise function called `name`: softmax, log-softmax or softmin.
///
/// # Errors
/// If `name` is neither; the error names one that is spelt nearly so, or the kind of function it is.
pub fn rowwise(name: &str) -> Result<RowFunction, Error> {
    let mut all = rowwise_functions().iter();
    let found = all.find(|f| names_of(f.meta()).any(|n| names::same(n, name)));
    found.map(|f| (*f).clone()).ok_or_else(|| unknown(name, Kind::RowWise))
}

/// By name, whether or not this processor has the level: [`Exec::level`](crate::Exec::level) asks
/// for that.
impl FromStr for Level {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let named = Level::ALL.iter().find(|l| l.name().eq_ignore_ascii_case(s));
        named.copied().ok_or_else(|| Error::UnknownLevel { name: s.into() })
    }
}

/// Every name with the function that it stands for.
fn all_names() -> impl Iterator<Item = (Kind, &'static str, &'static str)> {
    let of = |kind, meta: Meta| names_of(meta).map(move |n| (kind, n, meta.name));
    let elementwise = functions().iter().map(|f| f.meta()).chain(formulas().iter().copied());
    let elementwise = elementwise.flat_map(move |m| of(Kind::Elementwise, m));
    let gated = gated_functions().iter().map(|f| f.meta()).chain(gated_formulas().iter().copied());
    let gated = gated.flat_map(move |m| of(Kind::Gated, m));
    let rows = rowwise_functions().iter().flat_map(move |f| of(Kind::RowWise, f.meta()));
    elementwise.chain(gated).chain(rows)
}

/// The error for a name that no function of the kind has.
fn unknown(name: &str, wanted: Kind) -> Error {
    match all_names().find(|(_, n, _)| names::same(n, name)) {
        Some((kind, _, function)) => Error::OtherKind { function, kind, wanted },
        None => Error::UnknownFunction { name: name.into(), nearest: nearest(&key(bare(name))) },
    }
}

/// The function whose name is `name` but for a slip: one letter, or one in four.
///
/// Functions have names like each other's (`relu`, `relu6`, `celu`, `crelu`), so a name with
/// another first letter or another digit is another function's, and so is one between two.
fn nearest(name: &str) -> Option<&'static str> {
    let limit = (name.chars().count() / 4).max(1);
    let digits = |n: &str| n.chars().filter(char::is_ascii_digit).collect::<String>();
    let alike = |n: &str| n.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    let rank = |n: &str| (distance(name, n), core::cmp::Reverse(alike(n)));
    let near: Vec<_> = all_names()
        .map(|(_, n, function)| (key(bare(n)), function))
        .filter(|(n, _)| alike(n) > 0 && digits(n) == digits(name) && distance(name, n) <= limit)
        .map(|(n, function)| (rank(&n), function))
        .collect();
    let (best, function) = *near.iter().min_by_key(|(rank, _)| *rank)?;
    near.iter().all(|&(rank, f)| rank > best || f == function).then_some(function)
}

/// Letters to insert, delete, replace or swap to get from `a` to `b` (Damerau and Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replace.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(d[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    d[a.len()][b.len()]
}
