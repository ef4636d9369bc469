//! `cargo xtask new`: the file of a new function, complete but for its mathematics.

use anyhow::{Context, Result, bail};

pub use crate::index::Kind;
use crate::{generate, index, system};

const ELEMENTWISE: &str = r#"//! TYPE: half of its input.
//!
// Replace: the two lines above and this one: what the function is, who uses it, and why its
// textbook formula is not good enough as it stands (where it cancels, overflows or underflows).

use crate::prelude::*;

// Replace: the formula below, as one would write it on paper.
/// `x / 2`.
#[derive(Clone, Copy, Debug)]
pub struct TYPE;

impl Elementwise for TYPE {
    const META: Meta = Meta {
        // Replace: other names, the paper, the names in frameworks ("" if there is none), advice.
        aliases: &[],
        source: "by definition",
        pytorch: "",
        jax: "",
        keras: "",
        onnx: "",
        use_when: "the template of a new function is tried out",
        avoid_when: "the function is to do something",
        // Replace: the formula, in x and the names of the parameters. Tests evaluate it exactly
        // and compare; `if(x > 0, a, b)`, exp, ln, tanh, sqrt, min, max, normal_cdf are known.
        ..Meta::new("NAME", "x / 2")
    };
    // A parameter is a line here, 1 in place of 0 in the next line, and then `[alpha]: [T; 1]` below
    // in place of `_: [T; 0]`:
    // const PARAMS: &'static [Param] = &[Param::new("alpha", 1.0, "what it does")];
    type Params<T: Copy> = [T; 0];

    // Replace: what is true of the function. Every claim is tested; `Claims` lists them all.
    const CLAIMS: Claims = Claims {
        lipschitz: 0.5,
        monotone: true,
        odd: true,
        zeros: &[0.0],
        // Values at -inf and inf, slopes at -inf and inf.
        ..Claims::new((f64::NEG_INFINITY, f64::INFINITY), (0.5, 0.5))
    };

    // Replace: the body. `Real` is the whole vocabulary: literals are `x.lit(0.5)`, pieces are
    // `x.split(0.0)`, and `x.exp()`, `x.sigmoid()`, `x.jet(Prim::Cdf)` are the primitives.
    #[inline(always)]
    fn value<T: Real>(x: T, _: [T; 0]) -> T {
        x.lit(0.5) * x
    }

    // Replace: this, or delete it: without it the slope is `value` at dual numbers.
    #[inline(always)]
    fn slope<T: Real>(x: T, _: [T; 0]) -> T {
        x.split(0.0).join(x.lit(0.5), x.lit(0.5))
    }
}
"#;

const GATED: &str = r#"//! TYPE: half the product of gate and value.
//!
// Replace: the two lines above and this one: what the unit is, who uses it, and what is lost if
// its textbook formula is computed as it stands.

use crate::prelude::*;

// Replace: the formula below, as one would write it on paper.
/// `a b / 2`.
#[derive(Clone, Copy, Debug)]
pub struct TYPE;

impl Gated for TYPE {
    const META: Meta = Meta {
        // Replace: other names, the paper, the names in frameworks ("" if there is none), advice.
        aliases: &[],
        source: "by definition",
        pytorch: "",
        jax: "",
        keras: "",
        onnx: "",
        use_when: "the template of a new unit is tried out",
        avoid_when: "the unit is to do something",
        // Replace: the formula, in a (the first operand) and b. Tests evaluate it exactly and
        // compare; `if(a > 0, a, b)`, exp, ln, tanh, sqrt, min, max, normal_cdf are known.
        ..Meta::new("NAME", "a * b / 2")
    };
    // Replace: which operand is the gate. Llama's SwiGLU has it first, PyTorch's GLU second.
    const GATE: Gate = Gate::First;

    // Replace: the body. `Real` is the whole vocabulary: literals are `gate.lit(0.5)`, and
    // `gate.exp()`, `gate.sigmoid()`, `gate.jet(Prim::Cdf)` are the primitives.
    #[inline(always)]
    fn value<T: Real>(gate: T, value: T) -> T {
        gate.lit(0.5) * gate * value
    }

    // Replace: this, or delete it: without it the derivatives are `value` at dual numbers.
    #[inline(always)]
    fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
        (grad * (gate.lit(0.5) * value), grad * (gate.lit(0.5) * gate))
    }
}
"#;

/// Words that cannot name a module.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield";

/// Lays down the file of a function and lists it.
///
/// # Errors
/// The name is taken or no name.
pub fn new(name: &str, kind: Kind) -> Result<()> {
    let type_name = type_name(name)?;
    free(name, &type_name)?;
    let template = match kind {
        Kind::Elementwise => ELEMENTWISE,
        Kind::Gated => GATED,
        Kind::RowWise => bail!(
            "a row-wise function needs kernels, which no template has: begin with a copy of softmax.rs"
        ),
    };
    let text = template.replace("TYPE", &type_name).replace("NAME", name);
    let path = index::directory().join(format!("{name}.rs"));
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    println!("wrote crates/nonlin/src/functions/{name}.rs");
    generate::list()
}

/// `hard_swish` as `HardSwish`.
fn type_name(name: &str) -> Result<String> {
    let word =
        |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    if !first || !name.split('_').all(word) {
        bail!("`{name}` is not a name in snake case, such as hard_swish");
    }
    if KEYWORDS.split_whitespace().any(|k| k == name) {
        bail!("`{name}` is a word of Rust's own");
    }
    let capital = |w: &str| w[..1].to_ascii_uppercase() + &w[1..];
    Ok(name.split('_').map(capital).collect())
}

/// Fails if the name, or one that is looked up alike, is in use.
fn free(name: &str, type_name: &str) -> Result<()> {
    let key = |n: &str| n.replace(['_', '-', ' '], "").to_lowercase();
    for d in index::definitions()? {
        let file = format!("crates/nonlin/src/functions/{}.rs", d.name);
        if d.name == name {
            bail!("`{name}` exists already: {file}");
        }
        if d.type_name == type_name {
            bail!("`{type_name}` is the type of `{}`: {file}", d.name);
        }
        if d.names().iter().any(|n| key(n) == key(name)) {
            bail!("`{name}` is a name of `{}` already: {file}", d.name);
        }
    }
    let lib = system::root().join("crates/nonlin/src/lib.rs");
    let lib = std::fs::read_to_string(lib).context("crates/nonlin/src/lib.rs")?;
    let mut words = lib.split(|c: char| !c.is_alphanumeric() && c != '_');
    if words.any(|word| word == type_name) {
        bail!("the library has something else called `{type_name}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(type_name("hard_swish").unwrap(), "HardSwish");
        assert_eq!(type_name("relu6").unwrap(), "Relu6");
        for bad in ["", "Swish", "hard-swish", "_x", "x_", "a__b", "6relu", "loop", "µ"] {
            assert!(type_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn taken_names() {
        for (name, said) in [
            ("gelu", "exists already"),
            ("swish", "a name of `silu`"),
            ("hardswish", "a name of `hard_swish`"),
            ("softmax", "exists already"),
            ("softargmax", "a name of `softmax`"),
            ("function", "something else"),
            ("exec", "something else"),
        ] {
            let error = free(name, &type_name(name).unwrap()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        free("never_heard_of", "NeverHeardOf").unwrap();
    }
}
