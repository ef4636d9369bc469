//! Which built-in functions are computed in f32 registers: by tables, or because they round once at most. A
//! line for each, with the bounds of errors in f32 where they are not those of every definition; a function
//! that has no line is computed in f64 registers.
//!
//! The definitions themselves are mathematics, and know of none of this. A line makes a type of the same name
//! that computes what the definition says, with tables in its place where there are some.

use super::{GELU_TANH_TABLE_END, GateTable, MISH_TABLE_END};
use crate::activation::{
    Arithmetic, Bounds, Claims, Constraint, Elementwise, Gate, Gated, Meta, Param, Reach,
};
use crate::functions;
use crate::math::exp_m1::EXPM1_TABLE_END;
use crate::math::normal_cdf::CDF_TABLE_END;
use crate::math::range::EXP_SPLIT_FROM;
use crate::math::sigmoid::SIGMOID_TABLE_END;
use crate::math::tanh::{TANH_LIMIT_FROM, TANH_TABLE_END};
use crate::real::{Prim, Real};

/// The inputs from `-end` on.
const fn from_left(end: f32) -> Reach {
    Reach::between(-end, f32::INFINITY)
}

/// The inputs from `-end` to `end`.
const fn within(end: f32) -> Reach {
    Reach::between(-end, end)
}

/// Tables that reach so far for the value, and for the slope.
const fn tables(value: Reach, slope: Reach) -> Arithmetic {
    Arithmetic::F32Tables { value, slope }
}

/// No table has an end: numbers in two parts do.
const IN_TWO_PARTS: Arithmetic = tables(Reach::EVERYWHERE, Reach::EVERYWHERE);

/// A function that is composed of one primitive, of `x` or `-x`: as far as the primitive's tables reach.
const fn of(p: Prim) -> Arithmetic {
    match p {
        Prim::Sigmoid | Prim::Softplus => {
            tables(within(SIGMOID_TABLE_END), within(SIGMOID_TABLE_END))
        }
        Prim::Tanh => tables(within(TANH_LIMIT_FROM), within(TANH_TABLE_END)),
        // Asked on the left alone; its slope is an exponential.
        Prim::ExpM1 => tables(from_left(EXPM1_TABLE_END), from_left(EXP_SPLIT_FROM)),
        Prim::Cdf => tables(from_left(CDF_TABLE_END), from_left(CDF_TABLE_END)),
        Prim::TanhSoftplus => tables(from_left(MISH_TABLE_END), from_left(MISH_TABLE_END)),
        _ => panic!("a primitive without tables"),
    }
}

/// Elementwise functions.
macro_rules! elementwise {
    ($(
        $name:ident: $arithmetic:expr
            $(, f32 ($value:literal, $slope:literal))?
            $(, ones $ones:literal)?
            $(, |$x:ident| $tabled:expr $(, $tabled_slope:expr)?)?;
    )*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl Elementwise for $name {
            const META: Meta = functions::$name::META;
            const PARAMS: &'static [Param] = functions::$name::PARAMS;
            const CONSTRAINTS: &'static [Constraint] = functions::$name::CONSTRAINTS;
            type Params<T: Copy> = <functions::$name as Elementwise>::Params<T>;
            const CLAIMS: Claims = Claims {
                $(bounds: Bounds { f32: ($value, $slope), ..functions::$name::CLAIMS.bounds },)?
                ..functions::$name::CLAIMS
            };
            const ARITHMETIC: Arithmetic = $arithmetic;
            $(const CONSTANT_ONES: bool = $ones;)?
            const PER_ELEMENT: bool = functions::$name::PER_ELEMENT;

            #[inline(always)]
            fn value<T: Real>(x: T, p: Self::Params<T>) -> T {
                $({
                    let $x = x;
                    if let Some(value) = $tabled {
                        return value;
                    }
                })?
                functions::$name::value(x, p)
            }
            #[inline(always)]
            fn slope<T: Real>(x: T, p: Self::Params<T>) -> T {
                $($({
                    let $x = x;
                    if let Some(slope) = $tabled_slope {
                        return slope;
                    }
                })?)?
                functions::$name::slope(x, p)
            }
            elementwise!(@backward $name $($($tabled_slope)?)?);
            #[inline(always)]
            fn slope_from_output<T: Real>(y: T, p: Self::Params<T>) -> T {
                functions::$name::slope_from_output(y, p)
            }
            #[inline(always)]
            fn backward_from_output<T: Real>(y: T, grad: T, p: Self::Params<T>) -> T {
                functions::$name::backward_from_output(y, grad, p)
            }
        }
    )*};
    // A slope from a table is multiplied, as the default has it.
    (@backward $name:ident $tabled_slope:expr) => {};
    (@backward $name:ident) => {
        #[inline(always)]
        fn backward<T: Real>(x: T, grad: T, p: Self::Params<T>) -> T {
            functions::$name::backward(x, grad, p)
        }
    };
}

// Tables that stand for a function with parameters are asked at their defaults alone.
elementwise! {
    Celu: of(Prim::ExpM1), f32 (0.9, 0.8);
    Elu: of(Prim::ExpM1), f32 (0.9, 0.8);
    Gelu: of(Prim::Cdf), f32 (1.0, 1.5),
        |x| x.tabled_value(GateTable::Cdf), x.tabled_slope(GateTable::Cdf);
    GeluTanh: tables(from_left(GELU_TANH_TABLE_END), from_left(GELU_TANH_TABLE_END)), f32 (0.95, 1.75),
        |x| x.tabled_value(GateTable::CubicSigmoid), x.tabled_slope(GateTable::CubicSigmoid);
    HardSigmoid: IN_TWO_PARTS, f32 (0.51, 0.34);
    HardSwish: IN_TWO_PARTS, f32 (0.51, 0.51);
    Identity: Arithmetic::F32;
    LeakyRelu: Arithmetic::F32;
    LogSigmoid: of(Prim::Softplus), f32 (0.9, 0.9);
    Mish: of(Prim::TanhSoftplus), f32 (1.0, 2.0),
        |x| x.tabled_value(GateTable::TanhSoftplus), x.tabled_slope(GateTable::TanhSoftplus);
    Prelu: Arithmetic::F32;
    Relu: Arithmetic::F32;
    // The mean of the default parameters, rounded to f32, is an f32 number: the product rounds once.
    Rrelu: IN_TWO_PARTS;
    Selu: of(Prim::ExpM1), f32 (1.0, 0.9), |x| x.tabled_selu();
    Sigmoid: of(Prim::Sigmoid), f32 (0.9, 1.25);
    Silu: of(Prim::Sigmoid), f32 (1.0, 1.2), ones true,
        |x| x.tabled_value(GateTable::Sigmoid), x.tabled_slope(GateTable::Sigmoid);
    Softplus: of(Prim::Softplus), f32 (0.9, 0.9);
    Tanh: of(Prim::Tanh), f32 (1.0, 1.5);
}

/// Gated functions.
macro_rules! gated {
    ($($name:ident: $arithmetic:expr $(, $table:expr)?;)*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;

        impl Gated for $name {
            const META: Meta = functions::$name::META;
            const GATE: Gate = functions::$name::GATE;
            const ARITHMETIC: Arithmetic = $arithmetic;
            const SLOPE_ZEROS: &'static [f64] = functions::$name::SLOPE_ZEROS;

            #[inline(always)]
            fn value<T: Real>(gate: T, value: T) -> T {
                $(
                    if let Some(product) = gate.tabled_product(value, $table) {
                        return product;
                    }
                )?
                functions::$name::value(gate, value)
            }
            #[inline(always)]
            fn backward<T: Real>(gate: T, value: T, grad: T) -> (T, T) {
                $(
                    let slope = gate.tabled_slope_product(grad, value, $table);
                    if let (Some(slope), Some(product)) = (slope, gate.tabled_product(grad, $table)) {
                        return (slope, product);
                    }
                )?
                functions::$name::backward(gate, value, grad)
            }
        }
    )*};
}

gated! {
    Bilinear: Arithmetic::F32;
    Geglu: of(Prim::Cdf), GateTable::Cdf;
    Glu: of(Prim::Sigmoid);
    Reglu: Arithmetic::F32;
    ReluGlu: of(Prim::Sigmoid);
    Swiglu: of(Prim::Sigmoid), GateTable::Sigmoid;
}
