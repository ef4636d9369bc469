//! The fast f64 reference of `nonlin::internal::correct::Cm`, checked against multiple precision.

pub use nonlin::internal::correct::{Cm, normal_cdf, normal_pdf, primitive, sigmoid, softplus};

#[cfg(test)]
mod tests {
    use super::*;
    use nonlin::real::{Prim, Real};

    #[test]
    fn known_values() {
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-15, "{a:e} {b:e}");
        // From an independent library with 2000 bits.
        close(normal_cdf(-37.0), 5.725_571_222_524_577e-300);
        close(normal_cdf(-8.3), 5.205_569_744_890_254e-17);
        close(normal_pdf(-37.0), 2.120_006_551_524_606e-298);
        close(sigmoid(-700.0), 9.859_676_543_759_77e-305);
        close(softplus(-700.0), 9.859_676_543_759_77e-305);
        close(softplus(1e-300), core::f64::consts::LN_2);
        close(softplus(710.0), 710.0);
        assert_eq!(normal_cdf(0.0), 0.5);
        assert_eq!(sigmoid(0.0), 0.5);
    }

    #[test]
    fn ends_are_limits() {
        let inf = f64::INFINITY;
        for (p, below, above) in [
            (Prim::Exp, (0.0, 0.0, 0.0), (inf, inf, inf)),
            (Prim::ExpM1, (-1.0, 0.0, 0.0), (inf, inf, inf)),
            (Prim::Sigmoid, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
            (Prim::Tanh, (-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
            (Prim::Softplus, (0.0, 0.0, 0.0), (inf, 1.0, 0.0)),
            (Prim::Cdf, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
            (Prim::TanhSoftplus, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
        ] {
            for lo in [0.0, 1e-20, f64::NAN] {
                assert_eq!(primitive(-inf, lo, p), below, "{p:?}");
                assert_eq!(primitive(inf, lo, p), above, "{p:?}");
                let (v, d, dd) = primitive(f64::NAN, lo, p);
                assert!(v.is_nan() && d.is_nan() && dd.is_nan(), "{p:?}");
            }
        }
    }

    #[test]
    fn numbers_behave_as_the_vocabulary_says() {
        let (a, b, nan) = (Cm(7.0), Cm(3.0), Cm(f64::NAN));
        assert_eq!((a + b, a - b, a * b, a / Cm(2.0)), (Cm(10.0), Cm(4.0), Cm(21.0), Cm(3.5)));
        assert_eq!((-a, (-a).abs(), a.lit(0.5)), (Cm(-7.0), a, Cm(0.5)));
        assert_eq!((a.max(b), b.max(a), a.min(b), b.min(a)), (a, a, b, b));
        assert!(nan.max(a).0.is_nan() && nan.min(a).0.is_nan());
        assert!(nan.pick_above(0.0, a, b).0.is_nan());
        assert_eq!((a.pick_above(7.0, a, b), a.pick_above(6.9, a, b)), (b, a));
        assert_eq!(
            (a.pick_at_least(7.0, a, b), b.sign_or_one(), (-b).sign_or_one()),
            (a, Cm(1.0), Cm(-1.0))
        );
        let tenth = Cm(0.1);
        let (p, rest) = tenth.two_prod(tenth);
        assert_eq!((p.0, rest.0), (0.010_000_000_000_000_002, -8.326_672_684_688_674e-19));
        let (s, rest) = tenth.two_sum(Cm(1e16));
        assert_eq!((s.0, rest.0), (1e16, 0.1));
        let (s, rest) = Cm(1e16).two_sum(tenth);
        assert_eq!((s.0, rest.0), (1e16, 0.1));
        assert_eq!(a.constant_rest((1.0, 1e-20)), Cm(1e-20));
        assert_eq!(Cm(1.0).jet_at(Cm(1e-9), Prim::Softplus).v.0, softplus(1.000_000_001));
    }

    /// Against multiple precision: values and slopes, on every exponent and densely.
    #[cfg(feature = "mpfr")]
    #[test]
    fn good_to_1e_15() {
        use crate::mpfr::Mpfr;
        use crate::samples::{mix_unit, stratified, uniform};

        let mut xs = stratified::<f64>(3, 1);
        xs.extend(uniform::<f64>(-750.0, 710.0, 4000, 2));
        xs.extend(uniform::<f64>(-40.0, 40.0, 4000, 3));
        let mut arena = Mpfr::new(400);
        for &p in Prim::ALL {
            let mut worst = [(0.0, 0.0); 3];
            for (i, &x) in xs.iter().enumerate() {
                // A correction of up to one unit, as the rounding of an argument leaves it.
                let lo = x * 2f64.powi(-53) * (2.0 * mix_unit(4, i as u64) - 1.0);
                let lo = if i % 2 == 0 || lo.abs() < 1e-300 { 0.0 } else { lo };
                // A unit of a large argument is no small part of a period, and the reference corrects by
                // the slope alone.
                let periodic = matches!(p, Prim::Sin | Prim::Cos);
                let lo = if periodic && x.abs() > 1e6 { 0.0 } else { lo };
                let exact = arena.number(x).jet_at(arena.number(lo), p);
                let (v, d, dd) = primitive(x, lo, p);
                // A curvature is measured by the slope where it passes through zero.
                let scale = exact.dd.abs().max(exact.d.abs() / exact.d.lit(2.0));
                if exact.v.to_f64().is_nan() {
                    assert!(v.is_nan(), "{p:?} at {x:e} is {v}");
                    arena.clear();
                    continue;
                }
                let parts = [
                    (v, exact.v, exact.v.abs()),
                    (d, exact.d, exact.d.abs()),
                    (dd, exact.dd, scale),
                ];
                // A correction leaves the curvature as it is; a subnormal slope leaves it few digits.
                let count = if lo == 0.0 && d.abs() > f64::MIN_POSITIVE { 3 } else { 2 };
                for ((got, exact, scale), worst) in parts.into_iter().zip(&mut worst).take(count) {
                    let size = scale.to_f64();
                    if size == f64::INFINITY {
                        assert!(got.is_infinite(), "{p:?} at {x:e}");
                    } else if size < 1e-307 {
                        assert!((got - exact.to_f64()).abs() <= 1e-307, "{p:?} at {x:e}");
                    } else {
                        let error = ((exact.lit(got) - exact) / scale).abs().to_f64();
                        if error > worst.0 {
                            *worst = (error, x);
                        }
                    }
                }
                arena.clear();
            }
            let [v, d, dd] = worst.map(|w| w.0);
            assert!(v < 1e-15 && d < 1e-15 && dd < 2e-15, "{p:?}: {worst:?}");
        }
    }
}
