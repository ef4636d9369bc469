//! Formulas that a user types against multiple precision: stable forms are what the text says, and
//! good to a few units.
#![cfg(feature = "mpfr")]

use nonlin::Formula;
use nonlin::real::Dual;
use nonlin_testkit::Float;
use nonlin_testkit::formula::Formula as Oracle;
use nonlin_testkit::mpfr::Mpfr;
use nonlin_testkit::samples::mixed;
use nonlin_testkit::textbook::TEXTBOOK;
use nonlin_testkit::ulp::ulp_error;

/// Digits in which a text is evaluated as it is written: what it cancels is less than half of them.
const PRECISION: u32 = 12_000;

fn samples() -> Vec<f64> {
    let mut all = mixed::<f64>(0, &[0.0, 1.0, -1.0], 1, 0);
    all.extend((-200..200).map(|i| f64::from(i) * 0.173 + 0.011));
    all.retain(|x| x.is_finite());
    all
}

/// Whether every part of the text is a number at `x` in multiple precision.
fn reachable(x: f64) -> bool {
    x.abs() < 3000.0 && x.abs() > 1e-300
}

/// What the text says at `x`: by the oracle, which has bounds, or in many digits.
fn exact(text: &str, f: &Formula, x: f64) -> Float {
    if let Ok(oracle) = Oracle::parse(text, &["x"])
        && let Ok(y) = oracle.exact(&[x])
    {
        return y;
    }
    let arena = Mpfr::new(PRECISION);
    f.evaluate_as_written(&[arena.number(x)], &[]).value()
}

#[test]
fn stable_forms_are_what_the_text_says() {
    for (text, _) in TEXTBOOK {
        let f = Formula::parse(text).unwrap();
        for x in samples().into_iter().filter(|x| reachable(*x)) {
            let arena = Mpfr::new(400);
            let stable = f.evaluate(&[arena.number(x)], &[]).value();
            let want = exact(text, &f, x);
            // At the end of a domain, and outside.
            if stable == want || want.is_nan() && !stable.is_finite() {
                continue;
            }
            let apart = Float::with_val(64, &stable - &want).abs();
            // Constants of a formula have 92 digits; the series of this text ends at 2^-70.
            let digits = if *text == "x - tanh(x)" { 68u32 } else { 85 };
            let room = Float::with_val(64, want.clone().abs() >> digits);
            let size = Float::with_val(64, x.abs()) + 1u32;
            assert!(
                apart <= room * size.square() || apart < 1e-330,
                "{text} at {x:e}: {} is computed as {}",
                want.to_f64(),
                stable.to_f64()
            );
        }
    }
}

#[test]
fn stable_forms_are_good_to_a_few_units() {
    let mut bad = Vec::new();
    for (text, stable) in TEXTBOOK {
        let f = Formula::parse(text).unwrap();
        let (mut worst, mut place) = (0.0, 0.0);
        for x in samples().into_iter().filter(|x| reachable(*x)) {
            let want = exact(text, &f, x);
            let got = f.evaluate(&[x], &[]);
            if got == want.to_f64() || want.is_nan() && !got.is_finite() {
                continue;
            }
            // What overflows is infinite, what underflows 0 or beside it.
            let error = ulp_error(got, &want);
            if error > worst {
                (worst, place) = (error, x);
            }
        }
        if worst > 6.0 {
            bad.push(format!("{text} as {stable}: {worst} units at {place:e}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn slopes_of_stable_forms_are_slopes_of_the_text() {
    for (text, _) in TEXTBOOK {
        let (Ok(oracle), f) = (Oracle::parse(text, &["x"]), Formula::parse(text).unwrap()) else {
            continue;
        };
        let slope = oracle.derivative("x");
        for x in (-100..100).map(|i| f64::from(i) * 0.173 + 0.011) {
            let Ok(want) = slope.exact(&[x]) else { continue };
            let Dual { v, d: got } = f.evaluate(&[Dual::variable(x)], &[]);
            // Outside of the domain the slope of the text, which no value belongs to, may be a number.
            if v.is_nan() && got.is_nan() {
                continue;
            }
            let apart = (got - want.to_f64()).abs();
            assert!(
                apart <= 1e-13 * (want.to_f64().abs() + 1e-3),
                "{text} at {x}: {got} for {}",
                want.to_f64()
            );
        }
    }
}

/// The references of functions that are formulas, which the tests of accuracy rest on.
#[test]
fn references_of_named_formulas_are_what_their_text_says() {
    for meta in nonlin::formulas() {
        let (f, formula) = (nonlin::get(meta.name).unwrap(), Formula::parse(meta.formula).unwrap());
        // Parameters as an array of f64 has them: constants such as 1/3 in two numbers.
        let values: Vec<(f64, f64)> = f.params().map(|(p, v)| (v, p.rest)).collect();
        for x in samples().into_iter().filter(|x| reachable(*x) && x.abs() < 300.0) {
            let arena = Mpfr::new(2000);
            let p: Vec<_> = values
                .iter()
                .map(|(v, rest)| Dual::fixed(arena.number(*v) + arena.number(*rest)))
                .collect();
            let x = [Dual::variable(arena.number(x))];
            // The text as it stands has the f64 next to pi and to decimals; what is computed has the numbers
            // themselves.
            let written = formula.evaluate_as_written(&x, &p);
            let stable = formula.evaluate(&x, &p);
            let x = x[0].v.value().to_f64();
            let (value, slope) = f.reference(x);
            for (what, got, want, digits, tiny) in [
                ("value", value, written.v.value(), 46u32, 1e-14),
                ("slope", slope, written.d.value(), 46, 1e-14),
                ("value", value, stable.v.value(), 66, 1e-26),
                ("slope", slope, stable.d.value(), 66, 1e-26),
            ] {
                // At a kink, and outside of the domain, there is nothing to compare.
                if want.is_nan() || got.hi.is_nan() || got.hi.is_infinite() {
                    continue;
                }
                let got = Float::with_val(200, got.hi) + got.lo;
                let apart = Float::with_val(64, &got - &want).abs();
                // Coefficients of formulas have 92 digits, and series end at 2^-70; beside zeros of a
                // function what is left of a difference counts.
                let room = Float::with_val(64, want.clone().abs() >> digits) + tiny;
                assert!(
                    apart <= room,
                    "{what} of {} at {x:e}: {} for {}",
                    meta.name,
                    got.to_f64(),
                    want.to_f64()
                );
            }
        }
    }
}
