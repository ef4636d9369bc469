//! Statistics of arrays, and functions whose parameters follow them.

use crate::common::*;
use nonlin::real::{Dd, Real};
use nonlin::{
    Adaptive, AdaptiveRelu, Elu, Error, Exec, Formula, Function, GatedFunction, LeakyRelu,
    RunningStatistics, Softplus, Statistics, adaptive_relu, bf16, f16,
};
use nonlin_testkit::samples::uniform;

const SHAPES: [(&[usize], Option<isize>); 9] = [
    (&[2, 3, 4], None),
    (&[2, 3, 4], Some(1)),
    (&[2, 3, 4], Some(-1)),
    (&[7, 3, 63], Some(1)),
    (&[3, 2, 64], Some(1)),
    (&[1, 2, 9000], Some(1)),
    (&[700, 3], Some(1)),
    (&[5, 1, 3], Some(1)),
    (&[6001], None),
];

/// The channel of each element, and how many channels there are.
fn channels(shape: &[usize], axis: Option<isize>) -> (impl Fn(usize) -> usize, usize) {
    let a = axis.map(|axis| axis.rem_euclid(shape.len() as isize) as usize);
    let (n, inner) = a.map_or((1, 1), |a| (shape[a], shape[a + 1..].iter().product::<usize>()));
    (move |i| i / inner % n, n)
}

/// Numbers in no order, about 3.
fn some<T: Number>(len: usize, seed: u64) -> Vec<T> {
    let mut x = uniform::<T>(0.5, 5.5, len as u64, seed);
    for i in 0..len {
        x.swap(i, (i * 7919 + 13) % len);
    }
    for x in x.iter_mut().step_by(3) {
        *x = T::round(-x.wide());
    }
    x
}

/// Every way to carry out a call at a level, whose results must be one.
fn execs(one: Exec) -> Vec<Exec> {
    #[cfg_attr(not(feature = "rayon"), allow(unused_mut))]
    let mut execs = vec![one.block(1), one.block(100), one.block(1000)];
    #[cfg(feature = "rayon")]
    execs.push(one.block(64).parallel());
    execs
}

fn statistics<T: Number>() {
    let mut r = Report::default();
    for (shape, axis) in SHAPES {
        let len = shape.iter().product::<usize>();
        let x = some::<T>(len, 1);
        let (channel, n) = channels(shape, axis);
        let got = Statistics::of(&x, shape, axis).unwrap();
        let name = || format!("{} {shape:?} {axis:?}", T::NAME_OF);
        assert_eq!((got.mean().len(), got.count()), (n, len / n), "{}", name());
        for c in 0..n {
            let own = || (0..len).filter(|i| channel(*i) == c).map(|i| Dd::new(x[i].wide()));
            let over = Dd::new((len / n) as f64);
            let mean = dd_sum(own()) / over;
            let variance = dd_sum(own().map(|x| (x - mean) * (x - mean))) / over;
            let size = dd_sum(own().map(|x| x.abs())) / over;
            let near = |got: f64, want: Dd, bound: f64| (got - want.hi).abs() <= bound;
            r.need(near(got.mean()[c], mean, 2e-15 * size.hi), || {
                format!("{}: mean {} not {}", name(), got.mean()[c], mean.hi)
            });
            r.need(near(got.variance()[c], variance, 4e-15 * variance.hi), || {
                format!("{}: variance {} not {}", name(), got.variance()[c], variance.hi)
            });
        }
        for level in levels() {
            for exec in execs(at(level)) {
                let other = Statistics::of_with(&exec, &x, shape, axis).unwrap();
                r.need(other == got, || format!("{}: {exec:?}", name()));
            }
        }
    }
    r.finish();
}

#[test]
fn statistics_of_arrays() {
    statistics::<f64>();
    statistics::<f32>();
    statistics::<f16>();
    statistics::<bf16>();
}

/// Squares of numbers far from 0 would leave nothing of what they differ by.
#[test]
fn variance_far_from_zero() {
    let x: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect();
    let of = Statistics::of(&x, &[1000], None).unwrap();
    assert_eq!((of.mean(), of.variance()), (&[1e9 + 0.5][..], &[0.25][..]));
}

#[test]
fn merged_halves_are_the_whole() {
    let x = some::<f64>(1200, 3);
    for axis in [None, Some(1)] {
        let of = |x: &[f64], n| Statistics::of(x, &[n, 3], axis).unwrap();
        let whole = of(&x, 400);
        for rows in [1, 100, 200, 399] {
            let (first, rest) = x.split_at(3 * rows);
            let mut merged = of(first, rows);
            merged.merge(&of(rest, 400 - rows)).unwrap();
            assert_eq!(merged.count(), whole.count());
            for (got, want) in merged.mean().iter().zip(whole.mean()) {
                assert!((got - want).abs() <= 1e-14, "{rows} rows: {got} {want}");
            }
            for (got, want) in merged.variance().iter().zip(whole.variance()) {
                assert!((got - want).abs() <= 1e-14 * want, "{rows} rows: {got} {want}");
            }
        }
    }
}

/// `running = (1 - momentum) running + momentum batch`, with the variance of a batch over n - 1.
#[test]
fn running_statistics_are_those_of_batch_norm() {
    let x = some::<f32>(600, 4);
    let batches: Vec<_> = x.chunks(60).collect();
    let batch = |b: &[f32], c: usize| {
        let own: Vec<f64> = b.iter().skip(c).step_by(2).map(|x| f64::from(*x)).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let squares = own.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        (mean, squares / (own.len() - 1) as f64)
    };
    for momentum in [Some(0.1), Some(0.9), None, Some(1.0), Some(0.0)] {
        let mut running = RunningStatistics::new(2, momentum).unwrap();
        let mut want = [(0.0, 1.0); 2];
        for (k, b) in batches.iter().enumerate() {
            running.track(&Statistics::of(b, &[30, 2], Some(1)).unwrap()).unwrap();
            let weight = momentum.unwrap_or(1.0 / (k + 1) as f64);
            for (c, (mean, variance)) in want.iter_mut().enumerate() {
                let (m, v) = batch(b, c);
                *mean = (1.0 - weight) * *mean + weight * m;
                *variance = (1.0 - weight) * *variance + weight * v;
            }
        }
        assert_eq!(running.batches(), 10);
        for (c, (mean, variance)) in want.into_iter().enumerate() {
            let (m, v) = (running.mean()[c], running.variance()[c]);
            assert!((m - mean).abs() <= 1e-14, "{momentum:?}: {m} {mean}");
            assert!((v - variance).abs() <= 1e-14 * variance, "{momentum:?}: {v} {variance}");
        }
        let (mean, variance) = (running.mean().to_vec(), running.variance().to_vec());
        let again = RunningStatistics::restored(mean, variance, 10, momentum).unwrap();
        assert_eq!(again, running);
    }
    // One element has no variance over n - 1.
    let mut running = RunningStatistics::new(1, None).unwrap();
    running.track(&Statistics::of(&[3.0f32], &[1], None).unwrap()).unwrap();
    assert_eq!((running.mean(), running.variance()), (&[3.0][..], &[0.0][..]));
}

/// Workers that saw as many batches each: the mean of all means, and of all variances, which those of the
/// means add to.
#[test]
fn running_statistics_of_workers_are_merged() {
    let x = some::<f64>(400, 5);
    let track = |x: &[f64]| {
        let mut running = RunningStatistics::new(1, None).unwrap();
        for b in x.chunks(50) {
            running.track(&Statistics::of(b, &[50], None).unwrap()).unwrap();
        }
        running
    };
    let (mut here, there) = (track(&x[..100]), track(&x[100..]));
    let (m, n) = (here.mean()[0], there.mean()[0]);
    let wanted = 0.25 * here.variance()[0] + 0.75 * there.variance()[0] + 0.1875 * (m - n).powi(2);
    here.merge(&there).unwrap();
    let whole = track(&x);
    assert_eq!(here.batches(), whole.batches());
    assert!((here.mean()[0] - whole.mean()[0]).abs() <= 1e-15);
    assert!((here.variance()[0] - wanted).abs() <= 1e-15 * wanted);
    let before = here.clone();
    here.merge(&RunningStatistics::new(1, None).unwrap()).unwrap();
    assert_eq!(here, before);
    let mut new = RunningStatistics::new(1, None).unwrap();
    new.merge(&here).unwrap();
    assert_eq!(new, here);
}

/// An adaptive function, and the formulas of what it computes: the function of `x`, and its parameters in
/// their order, of the mean `a` and the deviation `b`.
struct Known {
    adaptive: Adaptive,
    f: Formula,
    rules: Vec<Formula>,
}

fn known(base: &Function, rules: &[(&str, &str)], f: &str, all: &[&str]) -> Known {
    let rule = |(p, text): &(&str, &str)| {
        let text = text.replace("mean", "a").replace("dev", "b");
        (p.to_owned().to_owned(), GatedFunction::parse(&text).unwrap())
    };
    let rules: Vec<(String, GatedFunction)> = rules.iter().map(rule).collect();
    let rules: Vec<_> = rules.iter().map(|(p, f)| (p.as_str(), f.clone())).collect();
    let parse = |text: &str| Formula::parse(text).unwrap();
    Known {
        adaptive: Adaptive::new(base, &rules).unwrap(),
        f: parse(f),
        rules: all.iter().map(|t| parse(t)).collect(),
    }
}

fn all() -> Vec<Known> {
    let three = Function::parse("k * tanh(m * x) + n * x; k = 1, m = 1, n = 0.25").unwrap();
    let leaky = "where(x > 0, x, s * x); s = 1";
    let threshold = "where(x > t, x - t, 0); t = 1";
    let relu = |adaptive, f: &str, rule: &str| Known {
        adaptive,
        f: Formula::parse(f).unwrap(),
        rules: vec![Formula::parse(rule).unwrap()],
    };
    vec![
        relu(adaptive_relu(AdaptiveRelu::Slope).unwrap(), leaky, "1 / (1 + exp(a / b))"),
        relu(adaptive_relu(AdaptiveRelu::Threshold { k: 0.25 }).unwrap(), threshold, "a + b / 4"),
        known(&LeakyRelu, &[("negative_slope", "mean * 0.01 + 0.5")], leaky, &["a / 100 + 1 / 2"]),
        known(
            &Softplus,
            &[("beta", "1 / dev")],
            "ln(1 + exp(beta * x)) / beta; beta = 1",
            &["b^(-1)"],
        ),
        known(
            &Elu,
            &[("alpha", "1 + sigmoid(mean) * dev")],
            "where(x > 0, x, alpha * (exp(x) - 1)); alpha = 1",
            &["1 + b / (1 + exp(-a))"],
        ),
        known(
            &three,
            &[("m", "1 / (1 + dev)"), ("k", "mean * dev")],
            "k * tanh(m * x) + n * x; k = 1, m = 1, n = 1",
            &["a * b", "1 / (1 + b)", "a * 0 + 0.25"],
        ),
    ]
}

const EPS: f64 = 1e-5;

impl Known {
    /// Mean and deviation of each channel.
    fn statistics(x: &[Dd], channel: &dyn Fn(usize) -> usize, n: usize) -> Vec<[Dd; 2]> {
        let over = Dd::new((x.len() / n) as f64);
        let of = |c: usize| {
            let own = || (0..x.len()).filter(move |i| channel(*i) == c).map(|i| x[i]);
            let mean = dd_sum(own()) / over;
            let variance = dd_sum(own().map(|x| (x - mean) * (x - mean))) / over;
            [mean, (variance + Dd::new(EPS)).sqrt()]
        };
        (0..n).map(of).collect()
    }

    /// The sum of `g` times the function, whose parameters follow the statistics of `x`.
    fn loss(&self, x: &[Dd], g: &[f64], channel: &dyn Fn(usize) -> usize, n: usize) -> Dd {
        let of = Self::statistics(x, channel, n);
        let p: Vec<Vec<Dd>> =
            of.iter().map(|s| self.rules.iter().map(|r| r.evaluate(s, &[])).collect()).collect();
        let term = |i: usize| Dd::new(g[i]) * self.f.evaluate(&[x[i]], &p[channel(i)]);
        dd_sum((0..x.len()).map(term))
    }
}

fn check<T: Number>(relative: f64) {
    let mut r = Report::default();
    for known in all() {
        for (shape, axis) in SHAPES {
            let f = match axis {
                Some(axis) => known.adaptive.clone().per_channel(axis),
                None => known.adaptive.clone(),
            };
            let len = shape.iter().product::<usize>();
            let (x, g) = (some::<T>(len, 1), uniform::<T>(-2.0, 2.0, len as u64, 2));
            let (channel, n) = channels(shape, axis);
            let name = || format!("{:?} {} {shape:?} {axis:?}", f.base(), T::NAME_OF);
            let run = |exec: &Exec| {
                let at = f.at_with(exec, &x, shape).unwrap();
                let (mut y, mut dx) = (x.clone(), x.clone());
                at.forward_with(exec, &x, &mut y);
                at.backward_with(exec, &x, &g, &mut dx);
                (at.values().to_vec(), y, dx)
            };
            let (values, y, dx) = run(&Exec::new());
            // The values are those of the rules, and the function is the one with these values.
            let wide: Vec<Dd> = x.iter().map(|x| Dd::new(x.wide())).collect();
            let of = Known::statistics(&wide, &channel, n);
            for (k, value) in values.iter().enumerate() {
                let want = known.rules[k / n].evaluate(&of[k % n], &[]).hi;
                r.need((value - want).abs() <= 1e-13 * want.abs().max(1.0), || {
                    format!("{}: values[{k}] = {value}, not {want}", name())
                });
            }
            for i in 0..len {
                let own: Vec<f64> = values.chunks(n).map(|v| v[channel(i)]).collect();
                let want = f.base().with_values(&own).unwrap().value(x[i]);
                r.need(same(y[i], want), || format!("{}: forward at {i}", name()));
            }
            // The gradient is the one that difference quotients in double-double numbers have.
            let g_wide: Vec<f64> = g.iter().map(|g| g.wide()).collect();
            let size = dx.iter().fold(0.0f64, |m, d| m.max(d.wide().abs()));
            let quotients = if len > 1000 { 3 } else { 12 };
            for i in (0..len).step_by(len.div_ceil(quotients)) {
                let h = Dd::new(1e-10);
                let moved = |h: Dd| {
                    let mut x = wide.clone();
                    x[i] = x[i] + h;
                    known.loss(&x, &g_wide, &channel, n)
                };
                let want = ((moved(h) - moved(-h)) / (h + h)).hi;
                r.need((dx[i].wide() - want).abs() <= relative * size, || {
                    format!("{}: dx[{i}] = {:?}, not {want}", name(), dx[i])
                });
            }
            // Neither level nor blocks nor threads show.
            for level in levels() {
                let wanted = run(&at(level));
                let equal = |a: &(Vec<f64>, Vec<T>, Vec<T>), b: &(Vec<f64>, Vec<T>, Vec<T>)| {
                    first_difference(&a.0, &b.0).is_none()
                        && first_difference(&a.1, &b.1).is_none()
                        && first_difference(&a.2, &b.2).is_none()
                };
                if at(level).current_level().fused() && Exec::new().current_level().fused() {
                    let first = (values.clone(), y.clone(), dx.clone());
                    r.need(equal(&wanted, &first), || format!("{}: {level}", name()));
                }
                for exec in execs(at(level)) {
                    r.need(equal(&run(&exec), &wanted), || format!("{}: {exec:?}", name()));
                }
            }
        }
    }
    r.finish();
}

#[test]
fn adaptive_functions_against_difference_quotients() {
    check::<f64>(1e-13);
    check::<f32>(4e-7);
    check::<f16>(2e-3);
    check::<bf16>(1.6e-2);
}

/// Statistics of two workers together: their gradients are those of one that has all elements.
#[test]
fn workers_share_statistics() {
    let f = adaptive_relu(AdaptiveRelu::Slope).unwrap().per_channel(1);
    let (x, g) = (some::<f64>(120, 1), uniform::<f64>(-2.0, 2.0, 120, 2));
    let (mut y, mut dx) = (vec![0.0; 120], vec![0.0; 120]);
    let whole = f.at(&x, &[10, 3, 4]).unwrap();
    whole.forward(&x, &mut y);
    whole.backward(&x, &g, &mut dx);

    let parts = [(0..48, [4, 3, 4]), (48..120, [6, 3, 4])];
    let of = |k: usize| Statistics::of(&x[parts[k].0.clone()], &parts[k].1, Some(1)).unwrap();
    let mut all = of(0);
    all.merge(&of(1)).unwrap();
    let (mut y2, mut dx2) = (vec![0.0; 120], vec![0.0; 120]);
    let mut gradients = Vec::new();
    let at = |k: usize| f.at_statistics(all.clone(), &parts[k].1).unwrap();
    for (k, (part, _)) in parts.iter().enumerate() {
        let part = part.clone();
        at(k).forward(&x[part.clone()], &mut y2[part.clone()]);
        gradients.push(at(k).backward_direct(&x[part.clone()], &g[part.clone()], &mut dx2[part]));
    }
    let mut sum = gradients[0].clone();
    for c in 0..3 {
        sum.by_mean[c] += gradients[1].by_mean[c];
        sum.by_deviation[c] += gradients[1].by_deviation[c];
    }
    for (k, (part, _)) in parts.iter().enumerate() {
        at(k).add_through_statistics(&x[part.clone()], &sum, &mut dx2[part.clone()]);
    }
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-14);
    assert!(near(&y, &y2) && near(&dx, &dx2));
}

#[test]
fn running_statistics_are_constants_to_the_gradient() {
    let f = adaptive_relu(AdaptiveRelu::Slope).unwrap().per_channel(1);
    let (x, g) = (some::<f32>(60, 1), uniform::<f32>(-2.0, 2.0, 60, 2));
    let running = RunningStatistics::restored(vec![1.0, -2.0, 0.5], vec![4.0; 3], 7, None).unwrap();
    let at = f.at_running(&running, &[5, 3, 4]).unwrap();
    assert_eq!(at.statistics(), None);
    let (mut y, mut dx) = (vec![0.0; 60], vec![0.0; 60]);
    at.forward(&x, &mut y);
    at.backward(&x, &g, &mut dx);
    for i in 0..60 {
        let (c, z) = (i / 4 % 3, running.mean()[i / 4 % 3] / (4.0f64 + EPS).sqrt());
        assert!((at.values()[c] - 1.0 / (1.0 + z.exp())).abs() <= 1e-15);
        let leaky = LeakyRelu.with("negative_slope", at.values()[c]).unwrap();
        assert_eq!(y[i], leaky.value(x[i]), "y at {i}");
        let want = g[i] * leaky.slope(x[i]);
        assert!((dx[i] - want).abs() <= 1.2e-7 * want.abs(), "dx at {i}: {} {want}", dx[i]);
    }
    // One channel of statistics serves all.
    let one = RunningStatistics::restored(vec![1.0], vec![4.0], 7, None).unwrap();
    assert_eq!(f.at_running(&one, &[5, 3, 4]).unwrap().values().len(), 1);
}

/// A constant input has the deviation 0 where nothing is added to the variance.
#[test]
fn a_deviation_of_zero() {
    let rule = GatedFunction::parse("sigmoid(a)").unwrap();
    let f = Adaptive::new(&LeakyRelu, &[("negative_slope", rule)]).unwrap().with_eps(0.0).unwrap();
    let x = [-1.0f64; 4];
    let mut dx = [0.0; 4];
    f.at(&x, &[4]).unwrap().backward(&x, &[1.0; 4], &mut dx);
    let s = 1.0 / (1.0 + 1.0f64.exp());
    assert!(dx.iter().all(|d| (d - (s - s * (1.0 - s))).abs() < 1e-15), "{dx:?}");
}

#[test]
fn adaptive_functions_that_cannot_be() {
    let rule = || GatedFunction::parse("1 / b").unwrap();
    let text = |e: Error| e.to_string();
    let new = |rules: &[(&str, GatedFunction)]| text(Adaptive::new(&Softplus, rules).unwrap_err());
    assert_eq!(new(&[]), "no parameter of `softplus` has a rule; give one of beta");
    assert_eq!(new(&[("alpha", rule())]), "`softplus` has no parameter `alpha`; it has beta");
    assert_eq!(new(&[("beta", rule()), ("Beta", rule())]), "`beta` of `softplus` is given twice");
    let gelu = Adaptive::new(&nonlin::Gelu, &[("beta", rule())]).unwrap_err();
    assert_eq!(text(gelu), "`gelu` has no parameters to be learned; `prelu` has");
    let f = Adaptive::new(&Softplus, &[("beta", rule())]).unwrap();
    assert_eq!(
        text(f.clone().with_eps(-1.0).unwrap_err()),
        "`eps` of `softplus` is -1; it must be at least 0"
    );
    let none: [f32; 0] = [];
    assert_eq!(
        text(f.at(&none, &[0, 2]).unwrap_err()),
        "an array of shape [0, 2] has no elements, and so no mean"
    );
    assert_eq!(text(f.at(&[1.0f32], &[2]).unwrap_err()), "shape [2] has 2 elements, x has 1");
    let axis = text(f.clone().per_channel(2).at(&[1.0f32; 2], &[2]).unwrap_err());
    assert!(axis.starts_with("axis 2 is out of range"), "{axis}");
    // The rule of a negative temperature, and of no number.
    let negative = GatedFunction::parse("a").unwrap();
    let f = Adaptive::new(&Softplus, &[("beta", negative)]).unwrap();
    for x in [-1.0f32, f32::NAN] {
        let e = text(f.at(&[x; 2], &[2]).unwrap_err());
        assert!(e.starts_with(&format!("`beta` of `softplus` is {x}; it must be")), "{e}");
    }
    let e = text(RunningStatistics::new(1, Some(1.5)).unwrap_err());
    assert_eq!(e, "`momentum` of `running statistics` is 1.5; it must be between 0 and 1");
    let mut running = RunningStatistics::new(2, None).unwrap();
    let one = Statistics::of(&[1.0f32], &[1], None).unwrap();
    let wanted = "statistics of 2 channels cannot take in those of 1; they must be of as many";
    assert_eq!(text(running.track(&one).unwrap_err()), wanted);
    assert_eq!(text(running.merge(&RunningStatistics::new(1, None).unwrap()).unwrap_err()), wanted);
    let f = adaptive_relu(AdaptiveRelu::Slope).unwrap().per_channel(1);
    assert_eq!(
        text(f.at_running(&running, &[4, 3]).unwrap_err()),
        "axis 1 of shape [4, 3] has 3 channels, but there are 2 values; give 3 or 1"
    );
    assert!(adaptive_relu(AdaptiveRelu::Threshold { k: f64::NAN }).is_err());
}

/// Counts that no size can say: weights stay numbers.
#[test]
fn counts_do_not_wrap() {
    let mut all = Statistics::of(&[1.0, 3.0], &[2], None).unwrap();
    for _ in 0..80 {
        all.merge(&all.clone()).unwrap();
    }
    assert_eq!((all.mean(), all.variance()), (&[2.0][..], &[1.0][..]));
    assert_eq!(all.count(), usize::MAX);
    let mut running = RunningStatistics::restored(vec![5.0], vec![1.0], u64::MAX, None).unwrap();
    running.track(&Statistics::of(&[1.0, 3.0], &[2], None).unwrap()).unwrap();
    assert_eq!((running.mean(), running.batches()), (&[5.0][..], u64::MAX));
    running.merge(&running.clone()).unwrap();
    assert_eq!((running.mean(), running.batches()), (&[5.0][..], u64::MAX));
}
