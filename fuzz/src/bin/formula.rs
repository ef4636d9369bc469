//! Texts of any kind: a formula or a mistake that is shown; a formula comes back from its own text, and
//! has a value at every number type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nonlin::Formula;
use nonlin::real::{Dual, Extended, Interval};
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
});
