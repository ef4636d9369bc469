//! The operations of programs: one line each, the methods of [`Real`](crate::real::Real) that a
//! number type may do in a way of its own.
//!
//! A line has the operation's name, its inputs, the constants that are part of it, and what it
//! computes: `=` one number, `=>` a pair. A `-` stands before an input that a type without low parts (one that rounds what it
//! computes, and takes every `two_sum` for a sum) never looks at.
//!
//! What is not here, such as [`Real::exp_times`](crate::real::Real::exp_times), is what its default
//! makes of these: a recorder runs it, and records what that calls. Types with tables, which have
//! `sigmoid`, `tanh` and `exp_m1` of their own, run no programs. Primitives have three
//! operations beside the table: `Jet`, `JetAt` and `SlopeJet`.

/// Calls `$then!` with the table.
macro_rules! operations {
    ($then:ident $(, $($argument:tt)*)?) => { $then! {
        $($($argument)*)?
        // Literals, of the kind of any number `x`.
        Lit(x; c) = x.lit(c);
        Constant(x; c, rest) = x.constant((c, rest));
        ConstantRest(x; c, rest) = x.constant_rest((c, rest));
        Lowest(x;) = x.lowest();
        // Arithmetic.
        Add(x, o;) = x + o;
        Sub(x, o;) = x - o;
        Mul(x, o;) = x * o;
        Div(x, o;) = x / o;
        Neg(x;) = -x;
        Abs(x;) = x.abs();
        Max(x, o;) = x.max(o);
        Min(x, o;) = x.min(o);
        MulAdd(x, a, b;) = x.mul_add(a, b);
        Sqrt(x;) = x.sqrt();
        Powi(x; n) = x.powi(n as i32);
        Powf(x, y;) = x.powf(y);
        // Pieces.
        PartAbove(x; c) = x.part_above(c);
        PartBelow(x; c) = x.part_below(c);
        PickAbove(x, hi, lo; c) = x.pick_above(c, hi, lo);
        PickAtLeast(x, hi, lo; c) = x.pick_at_least(c, hi, lo);
        PickNanFree(x, hi, lo; c) = x.pick_nan_free(c, hi, lo);
        PickIdentityAbove(x, lo; c) = x.pick_identity_above(c, lo);
        PickGreater(x, o, hi, lo;) = x.pick_greater(o, hi, lo);
        PartGreater(x, o;) = x.part_greater(o);
        PartNotGreater(x, o;) = x.part_not_greater(o);
        Sign(x;) = x.sign();
        SignOrOne(x;) = x.sign_or_one();
        Step(x;) = x.step();
        Floor(x;) = x.floor();
        Round(x;) = x.round();
        // Ends.
        Finite(x;) = x.finite();
        FiniteBeside(x, o; least) = x.finite_beside(least, o);
        Saturated(x; end) = x.saturated(end);
        SlopeWithin(x, slope; end) = x.slope_within(end, slope);
        // Numbers in two parts.
        Scale2(x, -k;) = x.scale2(k);
        TwoProd(x, o;) => x.two_prod(o);
        TwoSum(x, o;) => x.two_sum(o);
        QuickTwoSum(x, o;) => x.quick_two_sum(o);
        Reciprocal(x;) => x.reciprocal();
        Argument(x, factor, rest;) => x.argument((factor, rest));
        TimesConstant(x, lo; c, rest) => x.times_constant(lo, (c, rest));
        Ramp(x, slope, -rest, offset;) = x.ramp(slope, rest, offset);
        BiasForDoubleRounding(x;) = x.bias_for_double_rounding();
        // Products with a jet, of which they take the value, or value and slope.
        Scaled(x, m, -m_lo, -k;) = x.scaled(m, m_lo, k);
        Weighted(x, m, -m_lo, -k;) = x.weighted(m, m_lo, k);
        ScaledProduct(x, value, m, -m_lo, -k;) = x.scaled_product(value, m, m_lo, k);
        WeightedProduct(x, o, m, -m_lo, -k;) = x.weighted_product(o, m, m_lo, k);
        TimesProductOf(x, a, b, -k;) = x.times_product_of(a, b, k);
        TimesProduct(x, m, -m_lo;) = x.times_product((m, m_lo));
        TimesSlope(x, slope;) = x.times_slope(slope);
        Gated(x, v, -v_lo, -k;) = x.gated(Jet { v_lo, k, ..Jet::new(v, v, v) });
        GatedTimes(x, v, -v_lo, -k, factor;) = x.gated_times(Jet { v_lo, k, ..Jet::new(v, v, v) }, factor);
        SlopeSum(x, v, d, -v_lo, -d_lo;) = x.slope_sum(Jet { d, v_lo, d_lo, ..Jet::new(v, v, v) });
        PlusQuotient(x, v, v_lo, -k, divisor;) = x.plus_quotient(Jet { v_lo, k, ..Jet::new(v, v, v) }, divisor);
        ExpM1OfWidth(x, width;) = x.exp_m1_of_width(width);
    } };
}
pub(crate) use operations;
