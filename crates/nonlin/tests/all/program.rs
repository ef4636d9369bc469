//! Programs: a definition that was recorded, replayed at every number type, has the bits of the
//! definition itself.

use crate::common::*;
use nonlin::internal::correct::Cm;
use nonlin::internal::{
    Bounded, Deferred, F32Plain, F64Lanes, F64ToF32, Lanes, Recorded, RecordedGated, Scalar, Simd,
};
use nonlin::real::{Dd, Dual, Extended, Interval, Jet, Prim, Real};
use nonlin::{About, Body, Elementwise, Function, Gated, GatedFunction, ParamList};
use nonlin_testkit::samples::uniform;

/// A number whose bits can be looked at. What tells two of them apart is its text, which for all
/// types here has every digit, and the sign of a zero.
trait Look: Real {
    fn look(self) -> String;
}

macro_rules! look {
    ($($t:ty: $f:expr;)*) => {$(
        impl Look for $t {
            fn look(self) -> String {
                #[allow(clippy::redundant_closure_call)]
                ($f)(self)
            }
        }
    )*};
}
look! {
    f64: |v: f64| format!("{v:?}");
    f32: |v: f32| format!("{v:?}");
    Dd: |v: Dd| format!("{v:?}");
    Extended: |v: Extended| format!("{v:?}");
    Interval: |v: Interval| format!("{v:?}");
    Bounded: |v: Bounded| format!("{v:?}");
    Cm: |v: Cm| format!("{v:?}");
    F64ToF32<f64>: |v: F64ToF32<f64>| format!("{:?}", v.0);
    F64Lanes<f64>: |v: F64Lanes<f64>| format!("{:?}", v.0);
    Deferred<F64Lanes<f64>>: |v: Deferred<F64Lanes<f64>>| format!("{:?}", v.resolve().0);
    F32Plain<<Scalar as Simd>::F32>: |v: F32Plain<<Scalar as Simd>::F32>| {
        let mut all = [0.0f32; 2];
        // SAFETY: a register of plain numbers has as many as the array.
        #[allow(unsafe_code)]
        unsafe {
            v.0.store(all.as_mut_ptr());
        }
        format!("{all:?}")
    };
}

impl<T: Look> Look for Dual<T> {
    fn look(self) -> String {
        format!("{} {}", self.v.look(), self.d.look())
    }
}

/// Parameters that are not the defaults, within the bounds of each.
fn others<A: Elementwise>() -> Vec<f64> {
    let mut p: Vec<_> = A::PARAMS
        .iter()
        .enumerate()
        .map(|(i, p)| (0.4 + 0.3 * i as f64).clamp(p.low, p.high))
        .collect();
    p.sort_by(f64::total_cmp);
    p
}

/// Compares the program of a definition with its body at numbers made by `number`.
fn compare<A: Elementwise, T: Look>(
    r: &mut Report,
    what: &str,
    points: &[f64],
    number: impl Fn(f64) -> T,
) {
    let program = Recorded::of::<A>().expect("no definition is as long as that");
    let defaults: Vec<f64> = A::PARAMS.iter().map(|p| p.default).collect();
    let mut sets = vec![others::<A>()];
    sets.push(A::PARAMS.iter().map(|p| (-0.5f64).clamp(p.low, p.high)).collect());
    sets.push(defaults);
    sets.dedup();
    for p in sets {
        let p: Vec<T> = p.iter().map(|v| number(*v)).collect();
        let mut array = A::Params::<T>::filled(number(0.0));
        array.as_mut_slice().copy_from_slice(&p);
        for &at in points {
            let (x, g) = (number(at), number(0.75));
            let mut pairs = vec![
                ("value", program.value(x, &p), A::value(x, array)),
                ("slope", program.slope(x, &p), A::slope(x, array)),
                ("backward", program.backward(x, g, &p), A::backward(x, g, array)),
            ];
            if let Some([slope, backward]) = program.from_output(x, g, &p) {
                pairs.push(("slope from output", slope, A::slope_from_output(x, array)));
                pairs.push((
                    "backward from output",
                    backward,
                    A::backward_from_output(x, g, array),
                ));
            }
            for (kind, got, wanted) in pairs {
                let (got, wanted) = (got.look(), wanted.look());
                let name = A::META.name;
                r.need(got == wanted, || {
                    format!(
                        "{name} {kind} at {at:?} of {what}: {got}, the definition gives {wanted}"
                    )
                });
            }
        }
    }
}

/// Numbers everywhere: ordinary ones, ends, far ones, and those that are no numbers.
fn points(n: u64) -> Vec<f64> {
    let mut x = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        3.0,
        -3.0,
        0.5,
        -0.5,
        1e-320,
        -1e-320,
        1e-300,
        40.0,
        -40.0,
        800.0,
        -800.0,
        -1500.0,
        1e38,
        -1e38,
        1e300,
        -1e300,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    x.extend(uniform::<f64>(-12.0, 12.0, n, 1));
    x.extend(uniform::<f64>(-120.0, 120.0, n / 4, 2));
    x
}

fn definition<A: Elementwise>(r: &mut Report) {
    let all = points(120);
    compare::<A, f64>(r, "f64", &all, |v| v);
    compare::<A, f32>(r, "f32", &all, |v| v as f32);
    compare::<A, _>(r, "F64ToF32", &all, |v| F64ToF32(v as f32 as f64));
    compare::<A, _>(r, "F64Lanes", &all, F64Lanes);
    compare::<A, _>(r, "Deferred", &all, |v| Deferred::new(F64Lanes(v)));
    compare::<A, _>(r, "F32Plain", &all, |v| F32Plain(Lanes::splat(v as f32)));
    compare::<A, _>(r, "Dd", &all, Dd::new);
    compare::<A, _>(r, "Extended", &all, Extended::new);
    compare::<A, _>(r, "Bounded", &all, Bounded::new);
    compare::<A, _>(r, "Cm", &all, Cm);
    compare::<A, _>(r, "points of Interval", &all, Interval::point);
    compare::<A, _>(r, "Interval", &all, |v| Interval::new(v - 0.25, v + 0.5));
    compare::<A, _>(r, "Dual of f64", &all, Dual::variable);
    compare::<A, _>(r, "Dual of Extended", &all, |v| Dual::variable(Extended::new(v)));
    compare::<A, _>(r, "Dual of Bounded", &all, |v| Dual::variable(Bounded::new(v)));
    compare::<A, _>(r, "Dual of Dual", &all, |v| Dual::variable(Dual::variable(v)));
}

#[test]
fn replayed_definitions_have_the_bits_of_their_bodies() {
    let mut r = Report::default();
    each_definition!(definition(&mut r));
    r.finish();
}

fn compare_gated<G: Gated, T: Look>(r: &mut Report, what: &str, number: impl Fn(f64) -> T) {
    let program = RecordedGated::of::<G>().expect("no definition is as long as that");
    let (x, name) = (points(60), G::META.name);
    for (i, &a) in x.iter().enumerate() {
        let b = x[(i * 7 + 3) % x.len()];
        let (p, q, g) = (number(a), number(b), number(-1.5));
        let (got, wanted) = (program.value(p, q, &[]).look(), G::value(p, q).look());
        r.need(got == wanted, || {
            format!("{name} at {a:?}, {b:?} of {what}: {got}, the definition gives {wanted}")
        });
        let (got, (da, db)) = (program.backward(p, q, g, &[]), G::backward(p, q, g));
        let (got, wanted) = (got.map(Look::look), [da.look(), db.look()]);
        r.need(got == wanted, || {
            format!("{name} backward at {a:?}, {b:?} of {what}: {got:?}, the definition gives {wanted:?}")
        });
    }
}

fn gated_definition<G: Gated>(r: &mut Report) {
    compare_gated::<G, f64>(r, "f64", |v| v);
    compare_gated::<G, _>(r, "F64ToF32", |v| F64ToF32(v as f32 as f64));
    compare_gated::<G, _>(r, "F64Lanes", F64Lanes);
    compare_gated::<G, _>(r, "Deferred", |v| Deferred::new(F64Lanes(v)));
    compare_gated::<G, _>(r, "F32Plain", |v| F32Plain(Lanes::splat(v as f32)));
    compare_gated::<G, _>(r, "Extended", Extended::new);
    compare_gated::<G, _>(r, "Interval", |v| Interval::new(v - 0.25, v + 0.5));
    compare_gated::<G, _>(r, "Dual of Extended", |v| Dual::variable(Extended::new(v)));
}

#[test]
fn replayed_gated_definitions_have_the_bits_of_their_bodies() {
    let mut r = Report::default();
    each_gated!(gated_definition(&mut r));
    r.finish();
}

/// Two operands, or one, or a body that says nothing of its slope.
struct Formula;

impl Body for Formula {
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
        let [x, alpha, beta] = [x[0], p[0], p[1]];
        x * (alpha * x).tanh() + beta
    }
}

struct Product;

impl Body for Product {
    fn operands(&self) -> usize {
        2
    }
    fn value<T: Real>(&self, x: &[T], _: &[T]) -> T {
        x[0] * x[1].sigmoid()
    }
}

fn formula() -> Function {
    let about = About::new("formula", "x * tanh(alpha * x) + beta");
    let about = about.param_between("alpha", 1.0, 0.0, 2.0).param("beta", 0.25);
    Function::record(about, &Formula).unwrap()
}

#[test]
fn a_formula_is_a_function() {
    let f = formula();
    assert_eq!((f.name(), f.meta().formula), ("formula", "x * tanh(alpha * x) + beta"));
    let params: Vec<_> = f.params().map(|(p, v)| (p.name, p.low, p.high, v)).collect();
    let limit = nonlin::Param::LIMIT;
    assert_eq!(params, [("alpha", 0.0, 2.0, 1.0), ("beta", -limit, limit, 0.25)]);
    let g = f.with("alpha", 0.5).unwrap();
    assert!(f != g && f == f.clone() && g == f.with("alpha", 0.5).unwrap());
    for x in [-3.0f64, -0.5, 0.0, 0.7, 2.0] {
        let (t, z) = ((0.5 * x).tanh(), 0.5 * x);
        let slope = t + z * (1.0 - t * t);
        assert!((g.value(x) - (x * t + 0.25)).abs() < 1e-15, "{x}");
        assert!((g.slope(x) - slope).abs() < 1e-15, "{x}");
        let mut by = [0.0; 2];
        g.parameter_gradient(x, &mut by);
        assert!((by[0] - x * x * (1.0 - t * t)).abs() < 1e-14 && by[1] == 1.0, "{x}: {by:?}");
        let second = (1.0 - t * t) * (1.0 - x * t * 0.5);
        assert!((g.curvature(x) - second).abs() < 1e-14, "{x}: {} {second}", g.curvature(x));
        let (value, slopes) = g.bounds(Interval::point(x));
        assert!(value.contains(g.value(x)) && slopes.contains(g.slope(x)), "{x}");
        assert!((g.reference(x).0.hi - g.value(x)).abs() < 1e-15, "{x}");
    }
    assert!(g.claims().limits.0.is_nan());
    let error = g.backward_from_output(&[0.5f32], &[1.0], &mut [0.0]).unwrap_err();
    assert!(error.to_string().starts_with("the output of `formula`"), "{error}");
    assert!(f.per_channel(&[0.5f32], &[1], 0).is_err());
}

#[test]
fn a_formula_of_two_operands_is_a_unit() {
    let f = GatedFunction::record(About::new("product", "a / (1 + exp(-b))"), &Product).unwrap();
    let (a, b) = ([1.5f32, -2.0, 0.0], [0.5f32, -1.0, 3.0]);
    let (mut y, mut da, mut db) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    f.forward(&a, &b, &mut y);
    f.backward(&a, &b, &[1.0, 2.0, -1.0], &mut da, &mut db);
    for i in 0..3 {
        let s = 1.0 / (1.0 + (-f64::from(b[i])).exp());
        let (x, g) = (f64::from(a[i]), [1.0, 2.0, -1.0][i]);
        for (got, wanted) in [(y[i], x * s), (da[i], g * s), (db[i], g * x * s * (1.0 - s))] {
            assert!((f64::from(got) - wanted).abs() <= 1e-7 * wanted.abs(), "{i}: {got} {wanted}");
        }
    }
    let (value, by_a, by_b) = f.reference(1.5f64, 0.5);
    assert!((value.hi - 0.933_688_996_802_782).abs() < 1e-15);
    assert!((by_a.hi - value.hi / 1.5).abs() < 1e-15 && (by_b.hi - 0.352_505_7).abs() < 1e-6);
}

#[test]
fn what_a_formula_says_is_checked() {
    let record = |about: About| Function::record(about, &Formula).unwrap_err().to_string();
    let two = || About::new("f", "").param("alpha", 1.0);
    assert_eq!(record(two().param("Alpha", 1.0)), "`Alpha` of `f` is given twice");
    let error = record(two().param_between("beta", 3.0, 0.0, 2.0));
    assert_eq!(error, "`beta` of `f` is 3; it must be between 0 and 2");
    let error = record(two().param_between("beta", 0.5, f64::NAN, 2.0));
    assert!(error.starts_with("`beta` of `f` is NaN"), "{error}");
    let error = record(two().param_between("beta", 1.0, 2.0, 1.0));
    assert!(error.starts_with("`beta` of `f` is 1; it must be at least 2"), "{error}");
    let about = two().param_between("beta", 3.0, 0.0, 2.0);
    let error = GatedFunction::record(about, &Product).unwrap_err().to_string();
    assert_eq!(error, "`beta` of `f` is 3; it must be between 0 and 2");
}

/// A body that is as long as its number says.
struct Long(usize);

impl Body for Long {
    fn value<T: Real>(&self, x: &[T], _: &[T]) -> T {
        let mut y = x[0];
        for i in 0..self.0 {
            y = y * x[0] + x[0].lit(1.0 / (i + 2) as f64);
        }
        y
    }
}

/// Many numbers that are all needed at the end.
struct Broad(usize);

impl Body for Broad {
    fn value<T: Real>(&self, x: &[T], _: &[T]) -> T {
        let all: Vec<T> = (0..self.0).map(|i| (x[0] * x[0].lit(1.0 + i as f64)).tanh()).collect();
        let sum = all.iter().skip(1).fold(all[0], |a, b| a + *b);
        all.iter().fold(sum, |a, b| a * *b)
    }
}

/// A program that is too long is an error; one that is long runs, in shorter blocks.
#[test]
fn long_programs() {
    let record = |n| Function::record(About::new("long", ""), &Long(n));
    let error = record(1_000_000).unwrap_err().to_string();
    assert!(error.starts_with("`long` is too long: a program has at most"), "{error}");
    let f = record(60).unwrap();
    for x in [0.25f64, -0.75, 1.0] {
        assert_eq!(f.value(x), Long(60).value(&[x], &[]));
    }
    let broad = |n| Function::record(About::new("broad", ""), &Broad(n));
    assert!(broad(500).is_err());
    let f = broad(40).unwrap();
    let x: Vec<f64> = uniform(-1.0, 1.0, 1500, 9);
    let mut y = vec![0.0; x.len()];
    f.forward(&x, &mut y);
    for (x, y) in x.iter().zip(y) {
        let exact = Broad(40).value(&[Dd::new(*x)], &[]);
        assert!((exact.hi - y).abs() <= 1e-13 * y.abs().max(1e-30), "{x}: {y} {exact:?}");
    }
}

/// 0 and -0 are two constants, and so are those that differ in their last bit.
#[test]
fn constants_are_told_apart_by_their_bits() {
    struct Zeros;
    impl Body for Zeros {
        fn value<T: Real>(&self, x: &[T], _: &[T]) -> T {
            let (zero, minus) = (x[0].lit(0.0), x[0].lit(-0.0));
            x[0].min(zero) + x[0].max(minus) * x[0].lit(1.0 + f64::EPSILON) * x[0].lit(1.0)
        }
    }
    let f = Function::record(About::new("zeros", ""), &Zeros).unwrap();
    for x in [0.0f64, -0.0, 1.0, -1.0] {
        let (got, wanted) = (f.value(x), Zeros.value(&[x], &[]));
        assert_eq!(got.to_bits(), wanted.to_bits(), "{x:?}: {got:?} {wanted:?}");
    }
}

/// The table's marks say which inputs a type without low parts never looks at.
#[test]
fn marks_of_the_table_are_right() {
    assert_eq!(nonlin::internal::wrong_marks(), Vec::<&str>::new());
}

/// The engine asks every primitive with a correction, which is -0 where there is none.
#[test]
fn a_correction_of_minus_zero_is_none() {
    let mut points = points(3000);
    points.extend([0.0, -0.0, 5e-324, -5e-324, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    for &p in Prim::ALL {
        for &x in &points {
            let x = F64Lanes(x);
            let (alone, corrected) = (x.jet(p), x.jet_at(F64Lanes(-0.0), p));
            let parts = |j: Jet<F64Lanes<f64>>| [j.v, j.v_lo, j.d, j.d_lo, j.k].map(|v| v.0);
            let (alone, corrected) = (parts(alone), parts(corrected));
            let same = alone
                .iter()
                .zip(&corrected)
                .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            assert!(same, "{p:?} at {x:?}: {alone:?} {corrected:?}", x = x.0);
        }
    }
}
