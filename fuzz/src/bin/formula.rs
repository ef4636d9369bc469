//! Texts of any kind: a formula or a mistake that is shown; a formula comes back from its own text, has a
//! value at every number type, and is a function of arrays, whose elements do not depend on where they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nonlin::real::{Dual, Extended, Interval};
use nonlin::{Element, Error, Formula, Function, GatedFunction};
use nonlin_fuzz::install;

fuzz_target!(init: install(), |data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let f = match Formula::parse(&text) {
        Ok(f) => f,
        Err(e) => {
            let span = e.span();
            assert!(text.get(span.clone()).is_some() || text.len() > 10_000, "{span:?} of {text:?}");
            assert_eq!(e.to_string().lines().count(), 3, "{e}");
            return;
        }
    };
    let shown = f.to_string();
    let again = Formula::parse(&shown);
    // What is written out may be longer than a formula may be.
    match again {
        Ok(again) => assert_eq!((again.is_gated(), again.params().len()), (f.is_gated(), f.params().len()), "{text:?}"),
        Err(e) => assert!(shown.len() > 10_000 || e.message().contains("more than"), "{shown}: {e}"),
    }
    let p: Vec<f64> = f.params().map(|(_, v)| v).collect();
    let fixed: Vec<Dual<f64>> = p.iter().map(|&v| Dual::fixed(v)).collect();
    let exact: Vec<Extended> = p.iter().map(|&v| Extended::new(v)).collect();
    let bounds: Vec<Interval> = p.iter().map(|&v| Interval::point(v)).collect();
    for x in [0.0, -1.5, 0.3, 40.0, -800.0, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
        let y = f.evaluate(&[x, 0.5], &p);
        let _ = f.evaluate_as_written(&[x, 0.5], &p);
        let _ = f.evaluate(&[Dual::variable(x), Dual::fixed(0.5)], &fixed);
        let _ = f.evaluate(&[Extended::new(x), Extended::new(0.5)], &exact);
        let within = f.evaluate(&[Interval::point(x), Interval::point(0.5)], &bounds);
        assert!(!y.is_finite() || within.is_empty() || within.contains(y), "{y} of {text:?} at {x} is not in {within:?}");
    }
    assert!(f.evaluate(&[f64::NAN, 0.5], &p).is_nan() || f.is_gated(), "{text:?} at NaN");
    let _ = (f.built_in(), f.gated_built_in(), f.stable(), f.rewritings().count());
    if shown.len() > 10_000 {
        return;
    }
    let n = 1 + data.iter().fold(0usize, |h, b| h.wrapping_mul(31).wrapping_add(usize::from(*b))) % 700;
    let checked = if f.is_gated() {
        GatedFunction::parse(&shown).map(|f| {
            gated::<f32>(&f, n);
            gated::<f64>(&f, n);
        })
    } else {
        Function::parse(&shown).map(|f| {
            elementwise::<f32>(&f, n);
            elementwise::<f64>(&f, n);
        })
    };
    match checked {
        Ok(()) | Err(Error::ProgramTooLong { .. }) => {}
        Err(e) => panic!("{e}: {shown}"),
    }
});

/// Numbers of all kinds.
fn inputs<T: Element>(n: usize, from: usize) -> Vec<T> {
    let kinds =
        [0.5, -0.0, -3.0, 1e-30, f64::INFINITY, 88.0, f64::NAN, -745.0, f64::NEG_INFINITY, 1e30];
    (0..n)
        .map(|i| T::from_f64(kinds[(i / 3 + from) % kinds.len()] * (1.0 + i as f64 / 512.0)))
        .collect()
}

/// Compares an array's results with those of each element alone.
fn same<T: Element>(what: &str, at: usize, all: &[T], alone: T) {
    let (all, alone) = (all[at].to_f64(), alone.to_f64());
    assert!(
        all.to_bits() == alone.to_bits() || all.is_nan() && alone.is_nan(),
        "{what} {at}: {all} and {alone}"
    );
}

fn elementwise<T: Element>(f: &Function, n: usize) {
    let (x, g) = (inputs::<T>(n, 0), inputs::<T>(n, 1));
    let (mut y, mut dx) = (vec![T::default(); n], vec![T::default(); n]);
    f.forward(&x, &mut y);
    f.backward(&x, &g, &mut dx);
    for i in (0..n).step_by(41) {
        let (mut one, mut slope) = ([T::default()], [T::default()]);
        f.forward(&x[i..=i], &mut one);
        f.backward(&x[i..=i], &g[i..=i], &mut slope);
        same("value", i, &y, one[0]);
        same("gradient", i, &dx, slope[0]);
    }
}

fn gated<T: Element>(f: &GatedFunction, n: usize) {
    let (a, b, g) = (inputs::<T>(n, 0), inputs::<T>(n, 4), inputs::<T>(n, 1));
    let (mut y, mut da, mut db) = (a.clone(), a.clone(), a.clone());
    f.forward(&a, &b, &mut y);
    f.backward(&a, &b, &g, &mut da, &mut db);
    for i in (0..n).step_by(41) {
        let (mut one, mut left, mut right) = ([T::default()], [T::default()], [T::default()]);
        f.forward(&a[i..=i], &b[i..=i], &mut one);
        f.backward(&a[i..=i], &b[i..=i], &g[i..=i], &mut left, &mut right);
        same("value", i, &y, one[0]);
        same("first gradient", i, &da, left[0]);
        same("second gradient", i, &db, right[0]);
    }
}
