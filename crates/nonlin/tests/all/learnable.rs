//! Functions with parameters to be learned: values for each channel or group, and gradients by them.

use crate::common::*;
use nonlin::real::{Dd, Real};
use nonlin::{
    About, Body, Elu, Exec, Function, Gate, GatedFunction, Gelu, Prelu, bf16, f16, functions, gated,
};
use nonlin_testkit::samples::uniform;
use nonlin_testkit::ulp::ulp_error;

/// `a tanh(b x) + c x^2`: three parameters, so that two programs have the gradients.
struct Three;

impl Body for Three {
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
        p[0] * (p[1] * x[0]).tanh() + p[2] * x[0] * x[0]
    }
}

/// `x sigmoid(beta x)`.
struct Swish;

impl Body for Swish {
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
        x[0] * (p[0] * x[0]).sigmoid()
    }
}

fn all() -> Vec<Function> {
    let three = About::new("three", "a * tanh(b * x) + c * x^2");
    let three = three.param("a", 1.0).param("b", 0.5).param_between("c", 0.25, 0.0, 1.0);
    let swish = About::new("swish_beta", "x * sigmoid(beta * x)").param("beta", 1.0);
    let own = [Function::record(three, &Three), Function::record(swish, &Swish)];
    let built_in = functions().iter().filter(|f| f.params().len() > 0).map(|f| (*f).clone());
    let all: Vec<_> = built_in.chain(own.map(Result::unwrap)).collect();
    assert!(all.len() >= 7, "functions with parameters: {}", all.len());
    all
}

/// `a tanh(a b^2 + b) sigmoid(c y) + x`, of the operands x and y: three parameters.
struct GatedThree;

impl Body for GatedThree {
    fn operands(&self) -> usize {
        2
    }
    fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
        p[0] * (p[0] * p[1] * p[1] + p[1] * x[0]).tanh() * (p[2] * x[1]).sigmoid() + x[0]
    }
}

fn all_gated() -> Vec<GatedFunction> {
    let three = About::new("gated_three", "k * tanh(k * m^2 + m * a) * sigmoid(n * b) + a");
    let three = three.param("k", 1.0).param("m", -0.5).param_between("n", 0.25, 0.0, 1.0);
    let formula = GatedFunction::parse("a * sigmoid(beta * b); beta = 1.5").unwrap();
    vec![
        GatedFunction::record(three, &GatedThree).unwrap(),
        formula.with_gate(Gate::Second),
        formula,
    ]
}

const SHAPES: [(&[usize], isize); 11] = [
    (&[2, 3, 4, 5], 1),
    (&[2, 3, 4, 5], -1),
    (&[7, 3, 63], 1),
    (&[3, 2, 64], 1),
    (&[1, 2, 9000], 1),
    (&[700, 3], 1),
    (&[3, 6, 20], 1),
    (&[40, 8], -1),
    (&[2, 4, 1500], 1),
    (&[5], 0),
    (&[2, 0, 3], 1),
];

/// An array of a shape, with values for so many groups of channels.
struct Case {
    shape: &'static [usize],
    axis: isize,
    len: usize,
    /// How many groups.
    each: usize,
    channels: usize,
    inner: usize,
}

impl Case {
    /// Every shape with every number of equal groups.
    fn all() -> Vec<Case> {
        let mut all = Vec::new();
        for (shape, axis) in SHAPES {
            let a = axis.rem_euclid(shape.len() as isize) as usize;
            let (channels, inner) = (shape[a], shape[a + 1..].iter().product::<usize>());
            let len = shape.iter().product::<usize>();
            let of = |each| Case { shape, axis, len, each, channels, inner };
            let divisors = (1..=channels).filter(|n| channels.is_multiple_of(*n));
            all.extend(divisors.map(of));
            all.extend((channels == 0).then(|| of(1)));
        }
        all
    }

    /// Whether each group is a channel, or one is all of them: what `at` takes.
    fn is_plain(&self) -> bool {
        self.each == 1 || self.each == self.channels
    }

    /// The group of element `i`.
    fn group(&self, i: usize) -> usize {
        if self.each == 1 {
            return 0;
        }
        i / self.inner % self.channels / (self.channels / self.each)
    }

    /// Numbers in no order.
    fn some<T: Number>(&self, limit: f64, seed: u64) -> Vec<T> {
        let mut x = uniform::<T>(-limit, limit, self.len.max(2) as u64, seed);
        x.truncate(self.len);
        for i in 0..self.len {
            x.swap(i, (i * 7919 + 13 * seed as usize) % self.len);
        }
        x
    }

    /// Values within the bounds of every parameter, another one for each group.
    fn values<'a, T: Number>(
        &self,
        params: impl Iterator<Item = (nonlin::Parameter<'a>, f64)>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (p, default) in params {
            for c in 0..self.each {
                let v = default * (1.0 + 0.125 * c as f64);
                values.push(T::round(v.clamp(p.low, p.high)));
            }
        }
        values
    }

    /// The values of a group.
    fn of_group<T: Number>(&self, values: &[T], group: usize) -> Vec<f64> {
        values.chunks_exact(self.each).map(|values| values[group].wide()).collect()
    }
}

/// Neither level nor blocks nor threads show in what `run` gives, and so gives by default.
fn same_everywhere<T: Number>(
    r: &mut Report,
    name: &dyn Fn() -> String,
    run: impl Fn(&Exec) -> Vec<Vec<T>>,
) {
    let first = run(&Exec::new());
    for level in levels() {
        let one = at(level);
        let wanted = run(&one);
        if one.current_level().fused() && Exec::new().current_level().fused() {
            r.need(same_arrays(&wanted, &first), || format!("{}: {level}", name()));
        }
        #[cfg_attr(not(feature = "rayon"), allow(unused_mut))]
        let mut execs = vec![one.block(1), one.block(100), one.block(1000)];
        #[cfg(feature = "rayon")]
        execs.push(one.block(64).parallel());
        for exec in execs {
            r.need(same_arrays(&run(&exec), &wanted), || format!("{}: {exec:?}", name()));
        }
    }
}

/// The largest error of a slope, in units of the last place, where the type of the array is so exact.
const SLOPE: f64 = 4.0;

fn check<T: Number>(relative: f64) {
    let mut r = Report::default();
    for f in all() {
        let (learnable, params) = (f.learnable().unwrap(), f.params().len());
        for case in Case::all() {
            let (x, g) = (case.some::<T>(4.0, 1), case.some::<T>(2.0, 2));
            let values = case.values::<T>(f.params());
            let of: Vec<Function> = (0..case.each)
                .map(|c| f.with_values(&case.of_group(&values, c)).unwrap())
                .collect();
            let at = learnable.at_groups(&values, case.shape, case.axis).unwrap();
            let run_at = |exec: &Exec, at: &nonlin::Learned<'_, T>| {
                let mut y = vec![T::default(); case.len];
                let (mut dx, mut dv) = (y.clone(), vec![T::default(); values.len()]);
                at.forward_with(exec, &x, &mut y);
                at.backward_with(exec, &x, &g, &mut dx, &mut dv);
                vec![y, dx, dv]
            };
            let run = |exec: &Exec| run_at(exec, &at);
            let Case { shape, axis, each, .. } = case;
            let name = || format!("{} {} {shape:?} {axis} {each}", f.name(), T::NAME_OF);
            let all = run(&Exec::new());
            let [y, dx, dv] = &all[..] else { unreachable!("three arrays") };
            if case.is_plain() {
                let at = learnable.at(&values, shape, axis).unwrap();
                r.need(same_arrays(&run_at(&Exec::new(), &at), &all), || {
                    format!("{}: at and at_groups", name())
                });
            }
            let mut sums = vec![(Dd::new(0.0), 0.0); values.len()];
            for i in 0..case.len {
                let (c, f) = (case.group(i), &of[case.group(i)]);
                r.need(same(y[i], f.value(x[i])), || format!("{}: forward at {i}", name()));
                let wanted = f.backward_reference(x[i], g[i]);
                let off = ulp_error(dx[i], wanted.hi);
                // Slopes that pass through 0 are good to a unit of 1 there.
                let own = matches!(f.name(), "three" | "swish_beta");
                let inner = own || !f.claims().slope_zeros.is_empty();
                let size = if inner { 8.0 } else { 0.0 };
                let zero = (dx[i].wide() - wanted.hi).abs() <= size * T::ROUNDOFF;
                r.need(off <= SLOPE || zero, || {
                    format!("{}: dx {:?}, {off} units off", name(), dx[i])
                });
                let mut by = vec![0.0; params];
                f.parameter_gradient(x[i].wide(), &mut by);
                add_terms(&mut sums, each, c, g[i].wide(), &by);
            }
            need_sums(&mut r, &name, &sums, dv, relative);
            same_everywhere(&mut r, &name, run);
        }
    }
    r.finish();
}

fn same_arrays<T: Number>(a: &[Vec<T>], b: &[Vec<T>]) -> bool {
    a.iter().zip(b).all(|(a, b)| first_difference(a, b).is_none())
}

/// Adds `g` times the derivatives `by` the parameters to the sums of group `c`, and their sizes.
fn add_terms(sums: &mut [(Dd, f64)], each: usize, c: usize, g: f64, by: &[f64]) {
    for (p, by) in by.iter().enumerate() {
        let term = Dd::new(*by) * Dd::new(g);
        let (sum, size) = &mut sums[p * each + c];
        (*sum, *size) = (*sum + term, *size + term.hi.abs());
    }
}

fn need_sums<T: Number>(
    r: &mut Report,
    name: &dyn Fn() -> String,
    sums: &[(Dd, f64)],
    got: &[T],
    relative: f64,
) {
    for (k, ((sum, size), got)) in sums.iter().zip(got).enumerate() {
        let off = (got.wide() - sum.hi).abs();
        r.need(off <= relative * size, || {
            format!("{}: dvalues[{k}] = {got:?}, not {:e}", name(), sum.hi)
        });
    }
}

fn check_gated<T: Number>(relative: f64) {
    let mut r = Report::default();
    for f in all_gated() {
        let (learnable, params) = (f.learnable().unwrap(), f.params().len());
        for case in Case::all() {
            let (a, b) = (case.some::<T>(4.0, 1), case.some::<T>(3.0, 3));
            let g = case.some::<T>(2.0, 2);
            let values = case.values::<T>(f.params());
            let of: Vec<GatedFunction> = (0..case.each)
                .map(|c| f.with_values(&case.of_group(&values, c)).unwrap())
                .collect();
            let at = learnable.at_groups(&values, case.shape, case.axis).unwrap();
            let run_at = |exec: &Exec, at: &nonlin::LearnedGated<'_, T>| {
                let mut y = vec![T::default(); case.len];
                let (mut da, mut db) = (y.clone(), y.clone());
                let mut dv = vec![T::default(); values.len()];
                at.forward_with(exec, &a, &b, &mut y);
                at.backward_with(exec, &a, &b, &g, &mut da, &mut db, &mut dv);
                vec![y, da, db, dv]
            };
            let run = |exec: &Exec| run_at(exec, &at);
            let Case { shape, axis, each, .. } = case;
            let name = || format!("{f:?} {} {shape:?} {axis} {each}", T::NAME_OF);
            let all = run(&Exec::new());
            let [y, da, db, dv] = &all[..] else { unreachable!("four arrays") };
            if case.is_plain() {
                let at = learnable.at(&values, shape, axis).unwrap();
                r.need(same_arrays(&run_at(&Exec::new(), &at), &all), || {
                    format!("{}: at and at_groups", name())
                });
            }
            let mut sums = vec![(Dd::new(0.0), 0.0); values.len()];
            for i in 0..case.len {
                let (c, f) = (case.group(i), &of[case.group(i)]);
                let mut one = [T::default()];
                f.forward(&[a[i]], &[b[i]], &mut one);
                r.need(same(y[i], one[0]), || format!("{}: forward at {i}", name()));
                let (value, by_a, by_b) = f.reference(a[i], b[i]);
                let wide = Dd::new(g[i].wide());
                for (what, got, wanted) in
                    [("y", y[i], value), ("da", da[i], wide * by_a), ("db", db[i], wide * by_b)]
                {
                    // What passes through 0 is good to a unit of 1 there.
                    let zero = (got.wide() - wanted.hi).abs() <= 8.0 * T::ROUNDOFF;
                    r.need(ulp_error(got, wanted.hi) <= SLOPE || zero, || {
                        format!("{}: {what} {got:?} at {i}, not {:e}", name(), wanted.hi)
                    });
                }
                let mut by = vec![0.0; params];
                f.parameter_gradient(a[i].wide(), b[i].wide(), &mut by);
                add_terms(&mut sums, each, c, g[i].wide(), &by);
            }
            need_sums(&mut r, &name, &sums, dv, relative);
            same_everywhere(&mut r, &name, run);
        }
    }
    r.finish();
}

#[test]
fn gradients_by_parameters_of_gated_units() {
    check_gated::<f64>(4e-15);
    check_gated::<f32>(1.2e-7);
    check_gated::<f16>(6e-4);
    check_gated::<bf16>(5e-3);
}

/// The derivatives by parameters that the sums are compared with, against those written by hand.
#[test]
fn parameters_of_gated_units_have_the_derivatives_of_the_textbook() {
    let beta = 1.5;
    for f in &all_gated()[1..] {
        for (a, b) in [(2.0, -0.75), (-0.3, 3.0), (0.0, 1.0), (700.0, -40.0)] {
            let (v, gate) = if f.gate() == Gate::First { (a, b) } else { (b, a) };
            let s = |z: f64| Dd::new(z).sigmoid();
            let wanted = Dd::new(v) * Dd::new(gate) * s(beta * gate) * s(-beta * gate);
            let mut by = [0.0];
            f.parameter_gradient(a, b, &mut by);
            assert!(ulp_error(by[0], wanted.hi) <= 1.0, "{f:?} at {a}, {b}: {by:?} {wanted:?}");
        }
    }
}

#[test]
fn parameters_of_gated_units_are_set() {
    let f = GatedFunction::parse("k * a * b; k = 0.1 in [0, 4]").unwrap();
    let at = |f: &GatedFunction| {
        let (mut wide, mut narrow) = ([0.0f64], [0.0f32]);
        f.forward(&[9.0], &[1.0], &mut wide);
        f.forward(&[9.0], &[1.0], &mut narrow);
        (wide[0], narrow[0])
    };
    // As every parameter, it is rounded to f32 for arrays of f32.
    let rounded = (f64::from(0.1f32) * 9.0) as f32;
    assert_eq!(at(&f), (0.1 * 9.0, rounded));
    assert_ne!(rounded, 0.9);
    assert_eq!(at(&f.with("K", 2.0).unwrap()), (18.0, 18.0));
    assert_eq!(at(&f.with_values(&[4.0]).unwrap()), (36.0, 36.0));
    assert_eq!(
        f.params().map(|(p, v)| (p.name.to_owned(), v)).collect::<Vec<_>>(),
        [("k".to_owned(), 0.1)]
    );
    let two = f.with("k", 2.0).unwrap();
    assert_eq!(format!("{two:?}"), "k * a * b; k = 0.1 in [0, 4](gate: First, k: 2.0)");
    assert_eq!(two.formula().unwrap().params().next(), Some(("k", 2.0)));
    // Packed operands, too.
    let (mut y, mut dx) = ([0.0; 1], [0.0; 2]);
    two.forward_packed(&[3.0, 5.0], 2, nonlin::Layout::Halves, &mut y);
    two.backward_packed(&[3.0, 5.0], &[1.0], 2, nonlin::Layout::Halves, &mut dx);
    assert_eq!((y, dx), ([30.0], [10.0, 6.0]));
    let text = |e: nonlin::Error| e.to_string();
    let name = f.name();
    assert_eq!(
        text(f.with("k", 5.0).unwrap_err()),
        format!("`k` of `{name}` is 5; it must be between 0 and 4")
    );
    assert_eq!(
        text(f.with("m", 1.0).unwrap_err()),
        format!("`{name}` has no parameter `m`; it has k")
    );
    let swiglu = gated("swiglu").unwrap();
    assert_eq!(
        text(swiglu.with("k", 1.0).unwrap_err()),
        "`swiglu` has no parameter `k`; it has none"
    );
    assert_eq!(
        text(swiglu.learnable().unwrap_err()),
        "`swiglu` has no parameters to be learned; `prelu` has"
    );
    let twice = About::new("twice", "a * b").param("k", 1.0).param("K", 2.0);
    let e = GatedFunction::record(twice, &GatedThree).unwrap_err();
    assert_eq!(text(e), "`K` of `twice` is given twice");
}

#[test]
fn gradients_by_parameters() {
    check::<f64>(4e-15);
    check::<f32>(1.2e-7); // terms of prelu are f32, and so is the sum
    check::<f16>(6e-4);
    check::<bf16>(5e-3);
}

/// Sums of many terms are as good as the terms: nothing is lost where they cancel.
#[test]
fn long_sums_keep_their_digits() {
    let n = 100_001;
    let x = vec![-1.0f32; n];
    let mut grad = vec![1e-3f32; n];
    grad[0] = 1e7;
    grad[n - 1] = -1e7;
    let (learnable, mut dx, mut dv) = (Elu.learnable().unwrap(), vec![0.0; n], [0.0]);
    let values = [1.0f32];
    learnable.at(&values, &[n], 0).unwrap().backward(&x, &grad, &mut dx, &mut dv);
    let wanted = (-1.0f64).exp_m1() * f64::from(1e-3f32) * (n - 2) as f64;
    assert!((f64::from(dv[0]) - wanted).abs() <= 1e-7 * wanted.abs(), "{} {wanted}", dv[0]);
}

/// Arrays of a half type with parameters of f32, as mixed precision has them.
#[test]
fn values_of_another_type() {
    let (learnable, n) = (Elu.learnable().unwrap(), 700);
    let x = uniform::<bf16>(-4.0, 4.0, n as u64, 1);
    let grad = vec![bf16::from_f32(1.0); n];
    let values = [0.100_001f32];
    let (mut y, mut dx, mut dv) = (x.clone(), x.clone(), [0.0f32]);
    let at = learnable.at(&values, &[n], 0).unwrap();
    at.forward(&x, &mut y);
    at.backward(&x, &grad, &mut dx, &mut dv);
    let f = Elu.with("alpha", f64::from(values[0])).unwrap();
    assert!((0..n).all(|i| y[i] == f.value(x[i]) && dx[i] == f.slope(x[i])));
    let sum: f64 = x.iter().map(|x| x.to_f64().min(0.0).exp_m1()).sum();
    assert!((f64::from(dv[0]) - sum).abs() <= 1e-7 * sum.abs(), "{dv:?} {sum}");
}

#[test]
fn values_that_do_not_fit() {
    let e = Gelu.learnable().unwrap_err().to_string();
    assert_eq!(e, "`gelu` has no parameters to be learned; `prelu` has");
    let text = |f: &Function, values: &[f32], shape: &[usize], axis: isize| {
        f.learnable().unwrap().at(values, shape, axis).unwrap_err().to_string()
    };
    assert_eq!(
        text(&Elu, &[1.0; 2], &[2, 3], 1),
        "axis 1 of shape [2, 3] has 3 channels, but there are 2 values; give 3 or 1"
    );
    let rrelu = nonlin::get("rrelu").unwrap();
    assert_eq!(
        text(&rrelu, &[0.1; 3], &[2, 3], 1),
        "`rrelu` has 2 parameters, but there are 3 values; give 2, or 2 for each channel"
    );
    assert!(text(&rrelu, &[0.1, 0.1, 0.5, 0.2, 0.2, 0.2], &[2, 3], 1).contains("at most `upper`"));
    assert!(text(&Prelu, &[f32::NAN], &[2], 0).contains("NaN"));
    assert!(text(&Elu, &[1.0], &[1 << 40, 1 << 40], 0).contains("[1099511627776, 1099511627776]"));
    assert!(text(&Elu, &[1.0; 3], &[2, 3], 2).contains("axis 2 is out of range"));
    let groups = |values: &[f32], shape: &[usize]| {
        Elu.learnable().unwrap().at_groups(values, shape, 1).unwrap_err().to_string()
    };
    assert_eq!(
        groups(&[1.0; 4], &[2, 6]),
        "axis 1 of shape [2, 6] has 6 channels, which cannot be 4 equal groups; give values for 3 or 6"
    );
    assert!(groups(&[1.0; 12], &[2, 6]).ends_with("cannot be 12 equal groups; give values for 6"));
    assert!(groups(&[], &[2, 6]).ends_with("cannot be 0 equal groups; give values for 1"));
    let message = groups(&[1.0; 2], &[2]);
    assert_eq!(message, "axis 1 is out of range for shape [2]; it must be between -1 and 0");
}

#[test]
#[should_panic(expected = "dvalues has 2 elements, the list of values has 1")]
fn gradients_of_other_values() {
    let elu = Elu.learnable().unwrap();
    elu.at(&[1.0], &[3], 0).unwrap().backward(&[0.0; 3], &[1.0; 3], &mut [0.0; 3], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "x has 6 elements, an array of that shape has 8")]
fn arrays_of_another_shape() {
    let elu = Elu.learnable().unwrap();
    elu.at(&[1.0], &[2, 4], 0).unwrap().forward(&[0.0; 6], &mut [0.0; 6]);
}
