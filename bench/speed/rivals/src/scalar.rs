//! The textbook formulas over std's functions, one element after the other.

use crate::{Arrays, Case, Cell, Number};

/// A type that std has functions for.
pub trait Float: Number {
    /// A loop over the formula; `None` where std has no function for it.
    fn formula(function: &str, arrays: &Arrays<Self>) -> Option<Case>;
}

/// The closure is a type of its own, so that its code stands in the loop.
fn each<T: Number>(arrays: &Arrays<T>, f: impl Fn(T) -> T + 'static) -> Case {
    Case::new(arrays, move |x, _, y| y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x)))
}

macro_rules! float {
    ($type:ident) => {
        impl Float for $type {
            fn formula(function: &str, a: &Arrays<$type>) -> Option<Case> {
                type T = $type;
                const SCALE: T = 1.050_700_987_355_480_5_f64 as T;
                const ALPHA: T = 1.673_263_242_354_377_3_f64 as T;
                const ROOT: T = 0.797_884_560_802_865_4_f64 as T;
                Some(match function {
                    "relu" => each(a, |x: T| x.max(0.0)),
                    "leaky_relu" => each(a, |x: T| if x > 0.0 { x } else { 0.01 * x }),
                    "prelu" => each(a, |x: T| if x > 0.0 { x } else { 0.25 * x }),
                    "elu" | "celu" => each(a, |x: T| if x > 0.0 { x } else { x.exp_m1() }),
                    "selu" => {
                        each(a, |x: T| if x > 0.0 { SCALE * x } else { SCALE * ALPHA * x.exp_m1() })
                    }
                    "sigmoid" => each(a, |x: T| 1.0 / (1.0 + (-x).exp())),
                    "log_sigmoid" => each(a, |x: T| x.min(0.0) - (-x.abs()).exp().ln_1p()),
                    "tanh" => each(a, |x: T| x.tanh()),
                    "softplus" => each(a, |x: T| x.max(0.0) + (-x.abs()).exp().ln_1p()),
                    "silu" => each(a, |x: T| x / (1.0 + (-x).exp())),
                    "mish" => each(a, |x: T| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh()),
                    "gelu_tanh" => {
                        each(a, |x: T| 0.5 * x * (1.0 + (ROOT * (x + 0.044715 * x * x * x)).tanh()))
                    }
                    "hard_sigmoid" => each(a, |x: T| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                    "hard_swish" => each(a, |x: T| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                    _ => return None,
                })
            }
        }
    };
}

float!(f32);
float!(f64);

/// The call, on one thread.
pub fn case<T: Float>(cell: &Cell, arrays: &Arrays<T>) -> Option<Case> {
    if cell.what != "forward" || cell.threads > 1 {
        return None;
    }
    T::formula(&cell.function, arrays)
}
