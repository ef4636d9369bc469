//! The functions that the grammar has beside those of the catalogue, and their names.

use super::graph::{Call, Graph, Id, Test};
use super::number::Number;
use crate::activation::Meta;
use crate::{catalog, names};

/// Functions of the grammar.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Named {
    Call(Call),
    Max,
    Min,
    Power,
    Clip,
    LogAddExp,
    Hypot,
    Heaviside,
    Step,
    Erfc,
    Sech,
    Tan,
    Asinh,
    Atanh,
    Exp2,
    Log2,
    Log10,
    Square,
    Reciprocal,
    Rsqrt,
    Ceil,
    Negative,
}

const NAMED: [(&str, Named); 41] = [
    ("log", Named::Call(Call::Ln)),
    ("absolute", Named::Call(Call::Abs)),
    ("fabs", Named::Call(Call::Abs)),
    ("arctan", Named::Call(Call::Atan)),
    ("expit", Named::Call(Call::Sigmoid)),
    ("ndtr", Named::Call(Call::Cdf)),
    ("log_cosh", Named::Call(Call::LogCosh)),
    ("ln_1p", Named::Call(Call::Ln1p)),
    ("exp_m1", Named::Call(Call::ExpM1)),
    ("rint", Named::Call(Call::Round)),
    ("sgn", Named::Call(Call::Sign)),
    ("max", Named::Max),
    ("maximum", Named::Max),
    ("fmax", Named::Max),
    ("min", Named::Min),
    ("minimum", Named::Min),
    ("fmin", Named::Min),
    ("pow", Named::Power),
    ("power", Named::Power),
    ("clip", Named::Clip),
    ("clamp", Named::Clip),
    ("logaddexp", Named::LogAddExp),
    ("hypot", Named::Hypot),
    ("heaviside", Named::Heaviside),
    ("step", Named::Step),
    ("erfc", Named::Erfc),
    ("sech", Named::Sech),
    ("tan", Named::Tan),
    ("asinh", Named::Asinh),
    ("arcsinh", Named::Asinh),
    ("atanh", Named::Atanh),
    ("arctanh", Named::Atanh),
    ("exp2", Named::Exp2),
    ("log2", Named::Log2),
    ("log10", Named::Log10),
    ("square", Named::Square),
    ("reciprocal", Named::Reciprocal),
    ("rsqrt", Named::Rsqrt),
    ("ceil", Named::Ceil),
    ("negative", Named::Negative),
    ("neg", Named::Negative),
];

impl Named {
    /// The function called `name`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let listed = NAMED.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
        let call = || Call::ALL.iter().find(|(n, _)| *n == name).map(|(_, c)| Named::Call(*c));
        listed.or_else(call)
    }

    /// How many arguments it takes: at least, at most.
    pub(crate) fn arity(self) -> (usize, usize) {
        match self {
            Named::Max | Named::Min => (2, usize::MAX),
            Named::Power | Named::LogAddExp | Named::Hypot | Named::Heaviside => (2, 2),
            Named::Clip => (3, 3),
            _ => (1, 1),
        }
    }

    /// The function of these arguments, of which there are enough.
    pub(crate) fn of(self, g: &mut Graph, all: &[Id]) -> Id {
        let (z, one) = (all[0], Number::ONE);
        let scaled_log = |g: &mut Graph, base: f64| {
            let ln = g.call(Call::Ln, z);
            let scale = one.over(Number::new(base).logarithm());
            g.times(scale, ln)
        };
        match self {
            Named::Call(f) => g.call(f, z),
            Named::Max => all[1..].iter().fold(z, |a, &b| g.max(a, b)),
            Named::Min => all[1..].iter().fold(z, |a, &b| g.min(a, b)),
            Named::Power => g.power(z, all[1]),
            Named::Clip => {
                let low = g.max(z, all[1]);
                g.min(low, all[2])
            }
            Named::LogAddExp => {
                let (a, b) = (g.call(Call::Exp, z), g.call(Call::Exp, all[1]));
                let sum = g.add(a, b);
                g.call(Call::Ln, sum)
            }
            Named::Hypot => {
                let (a, b) = (g.mul(z, z), g.mul(all[1], all[1]));
                let sum = g.add(a, b);
                g.call(Call::Sqrt, sum)
            }
            Named::Heaviside => {
                let (one, zero) = (g.number(one), g.number(Number::ZERO));
                let at_zero = g.choose(Test::AtLeast, z, zero, all[1], zero);
                g.choose(Test::Greater, z, zero, one, at_zero)
            }
            Named::Step => {
                let (one, zero) = (g.number(one), g.number(Number::ZERO));
                g.choose(Test::Greater, z, zero, one, zero)
            }
            Named::Erfc => {
                let root = Number::TWO.root().negated();
                let z = g.times(root, z);
                let cdf = g.call(Call::Cdf, z);
                g.times(Number::TWO, cdf)
            }
            Named::Sech => {
                let cosh = g.call(Call::Cosh, z);
                g.product(one, &[(cosh, -1)])
            }
            Named::Tan => {
                let (sin, cos) = (g.call(Call::Sin, z), g.call(Call::Cos, z));
                g.div(sin, cos)
            }
            // sign(z) ln(1 + |z| + z^2 / (1 + sqrt(1 + z^2))), which does not cancel on the left.
            Named::Asinh => {
                let (size, square) = (g.call(Call::Abs, z), g.mul(z, z));
                let under = g.plus(one, square);
                let root = g.call(Call::Sqrt, under);
                let below = g.plus(one, root);
                let rest = g.div(square, below);
                let all = g.add(size, rest);
                let (ln, sign) = (g.call(Call::Ln1p, all), g.call(Call::Sign, z));
                g.mul(sign, ln)
            }
            // ln(1 + 2 z / (1 - z)) / 2
            Named::Atanh => {
                let below = g.sum(one, &[(Number::MINUS_ONE, z)]);
                let all = g.product(Number::TWO, &[(z, 1), (below, -1)]);
                let ln = g.call(Call::Ln1p, all);
                g.times(Number::HALF, ln)
            }
            Named::Exp2 => {
                let z = g.times(Number::LN_2, z);
                g.call(Call::Exp, z)
            }
            Named::Log2 => scaled_log(g, 2.0),
            Named::Log10 => scaled_log(g, 10.0),
            Named::Square => g.mul(z, z),
            Named::Reciprocal => g.product(one, &[(z, -1)]),
            Named::Rsqrt => {
                let root = g.call(Call::Sqrt, z);
                g.product(one, &[(root, -1)])
            }
            Named::Ceil => {
                let minus = g.neg(z);
                let floor = g.call(Call::Floor, minus);
                g.neg(floor)
            }
            Named::Negative => g.neg(z),
        }
    }
}

/// All functions that a formula may name.
pub(crate) fn function_names() -> impl Iterator<Item = &'static str> {
    let calls = Call::ALL.iter().map(|(n, _)| *n);
    let elementwise = catalog::functions()
        .iter()
        .flat_map(|f| core::iter::once(f.name()).chain(f.meta().aliases.iter().copied()));
    let of = |m: &Meta| core::iter::once(m.name).chain(m.aliases.iter().copied());
    let elementwise = elementwise.chain(catalog::formulas().iter().flat_map(of));
    let gated = catalog::gated_functions().iter().map(|f| f.name());
    let gated = gated.chain(catalog::gated_formulas().iter().map(|m| m.name));
    let named = NAMED.iter().map(|(n, _)| *n).chain(["where"]);
    calls.chain(named).chain(elementwise).chain(gated)
}

/// Whether a formula may name a function so.
pub(crate) fn is_function(name: &str) -> bool {
    function_names().any(|n| names::same(n, name))
}

/// The name that `name` is but for a slip: one letter, or one in four.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > 64 {
        return None;
    }
    let limit = (name.chars().count() / 4).max(1);
    let mut best: Option<(usize, &str)> = None;
    for n in known {
        let d = catalog::distance(name, n);
        let close = d <= limit && d < n.chars().count();
        if close && best.is_none_or(|(least, _)| d < least) {
            best = Some((d, n));
        }
    }
    best.map(|(_, n)| n)
}
