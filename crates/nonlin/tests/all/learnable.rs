//! Functions with parameters to be learned: values for each channel, and gradients by them.

use crate::common::*;
use nonlin::real::{Dd, Real};
use nonlin::{About, Body, Elu, Exec, Function, Gelu, Prelu, bf16, f16, functions};
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

const SHAPES: [(&[usize], isize); 8] = [
    (&[2, 3, 4, 5], 1),
    (&[2, 3, 4, 5], -1),
    (&[7, 3, 63], 1),
    (&[3, 2, 64], 1),
    (&[1, 2, 9000], 1),
    (&[700, 3], 1),
    (&[5], 0),
    (&[2, 0, 3], 1),
];

/// Values within the bounds of every parameter, another one for each channel.
fn values<T: Number>(f: &Function, each: usize) -> Vec<T> {
    let mut values = Vec::new();
    for (p, default) in f.params() {
        for c in 0..each {
            let v = default * (1.0 + 0.125 * c as f64);
            values.push(T::round(v.clamp(p.low, p.high)));
        }
    }
    values
}

/// The largest error of a slope, in units of the last place, where the type of the array is so exact.
const SLOPE: f64 = 4.0;

fn check<T: Number>(relative: f64) {
    let mut r = Report::default();
    for f in all() {
        let (learnable, params) = (f.learnable().unwrap(), f.params().len());
        for (shape, axis) in SHAPES {
            let len = shape.iter().product::<usize>();
            let a = axis.rem_euclid(shape.len() as isize) as usize;
            let (channels, inner) = (shape[a], shape[a + 1..].iter().product::<usize>());
            let mut x = uniform::<T>(-4.0, 4.0, len.max(2) as u64, 1);
            x.truncate(len);
            for i in 0..len {
                x.swap(i, (i * 7919 + 13) % len);
            }
            let mut g = uniform::<T>(-2.0, 2.0, len.max(2) as u64, 2);
            g.truncate(len);
            for each in [1, channels] {
                let values = values::<T>(&f, each);
                let channel = |i: usize| if each == 1 { 0 } else { i / inner % channels };
                let of: Vec<Function> = (0..each)
                    .map(|c| {
                        let v: Vec<_> = (0..params).map(|p| values[p * each + c].wide()).collect();
                        f.with_values(&v).unwrap()
                    })
                    .collect();
                let at = learnable.at(&values, shape, axis).unwrap();
                let run = |exec: &Exec| {
                    let mut y = vec![T::default(); len];
                    let (mut dx, mut dv) = (y.clone(), vec![T::default(); values.len()]);
                    at.forward_with(exec, &x, &mut y);
                    at.backward_with(exec, &x, &g, &mut dx, &mut dv);
                    (y, dx, dv)
                };
                let name = || format!("{} {} {shape:?} {axis} {each}", f.name(), T::NAME_OF);
                let (y, dx, dv) = run(&Exec::new());
                let mut sums = vec![(Dd::new(0.0), 0.0); values.len()];
                for i in 0..len {
                    let (c, f) = (channel(i), &of[channel(i)]);
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
                    for (p, by) in by.iter().enumerate() {
                        let term = Dd::new(*by) * Dd::new(g[i].wide());
                        let (sum, size) = &mut sums[p * each + c];
                        (*sum, *size) = (*sum + term, *size + term.hi.abs());
                    }
                }
                for (k, ((sum, size), got)) in sums.iter().zip(&dv).enumerate() {
                    let off = (got.wide() - sum.hi).abs();
                    r.need(off <= relative * size, || {
                        format!("{}: dvalues[{k}] = {got:?}, not {:e}", name(), sum.hi)
                    });
                }
                // Neither level nor blocks nor threads show.
                for level in levels() {
                    let one = crate::common::at(level);
                    let wanted = run(&one);
                    if one.current_level().fused() && Exec::new().current_level().fused() {
                        r.need(equal(&wanted, &(y.clone(), dx.clone(), dv.clone())), || {
                            format!("{}: {level}", name())
                        });
                    }
                    #[cfg_attr(not(feature = "rayon"), allow(unused_mut))]
                    let mut execs = vec![one.block(1), one.block(100), one.block(1000)];
                    #[cfg(feature = "rayon")]
                    execs.push(one.block(64).parallel());
                    for exec in execs {
                        r.need(equal(&run(&exec), &wanted), || format!("{}: {exec:?}", name()));
                    }
                }
            }
        }
    }
    r.finish();
}

type Results<T> = (Vec<T>, Vec<T>, Vec<T>);

fn equal<T: Number>(a: &Results<T>, b: &Results<T>) -> bool {
    [(&a.0, &b.0), (&a.1, &b.1), (&a.2, &b.2)].iter().all(|(a, b)| first_difference(a, b).is_none())
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
