//! The polynomials that exhaustive runs take for their reference between a few exact values.

use nonlin::internal::interpolate::{CHECKS, NODES, at, good, place, through};

#[test]
fn polynomials_go_through_their_nodes() {
    let f = |t: f64| 3.0 - t + 0.5 * t * t - 0.25 * t.powi(5) + 0.125 * t.powi(6);
    let p = through(&NODES.map(|i| f(place(i))));
    for (got, want) in p.iter().zip([3.0, -1.0, 0.5, 0.0, 0.0, -0.25, 0.125]) {
        assert!((got - want).abs() < 1e-14, "{p:?}");
    }
    assert!((at(&p, 0.3) - f(0.3)).abs() < 1e-15);
}

#[test]
fn what_is_no_polynomial_is_refused() {
    let smooth = |i: u32| 1.0 + 1e-3 * place(i);
    let refused = |f: &dyn Fn(u32) -> f64| good(&NODES.map(f), &CHECKS.map(f)).is_none();
    assert!(!refused(&smooth));
    // A corner, a jump at the first number alone, a zero, an infinity, NaN.
    assert!(refused(&|i| smooth(i).max(1.0001)));
    assert!(refused(&|i| if i == 0 { 1.5 } else { smooth(i) }));
    assert!(refused(&|i| smooth(i) - 1.0));
    assert!(refused(&|i| if i > 4000 { f64::INFINITY } else { smooth(i) }));
    assert!(refused(&|i| if i == 2048 { f64::NAN } else { smooth(i) }));
}
