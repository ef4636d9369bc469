//! Times of kernels next to yardsticks, taken in turns.
//!
//! Everything that is compared runs in the same rounds, so that a disturbance hits all alike, and
//! the median round counts. Ratios are to `memcpy` of as many bytes as the kernel reads and writes.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use nonlin::Exec;

use crate::chosen::Chosen;
use crate::input::Cell;

/// A measured call.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Name of the function or yardstick.
    pub name: String,
    /// `forward`, `backward`, `from output`, `in place`, `odd`, `unaligned` or `yardstick`.
    pub what: &'static str,
    /// Nanoseconds an element: the median round.
    pub nanoseconds: f64,
    /// Nanoseconds an element in the fastest round.
    pub fastest: f64,
    /// The median as a multiple of `memcpy` of as many bytes.
    pub copies: f64,
    /// Bytes read and written per nanosecond: GB/s.
    pub throughput: f64,
}

/// Elements to a row of a row-wise function.
pub const ROW: usize = 1024;
/// Rounds, of which the median counts.
const ROUNDS: usize = 31;
/// Seconds that one call takes in a round, at least.
const SLICE: f64 = 4e-4;

/// Something to be timed, and how many arrays it reads and writes.
struct Entrant<'a> {
    name: String,
    what: &'static str,
    arrays: usize,
    elements: usize,
    call: Box<dyn FnMut() + 'a>,
    /// Done before each call, and not timed.
    before: Option<Box<dyn FnMut() + 'a>>,
}

/// Numbers that functions are timed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Normally distributed with deviation 3.
    Normal,
    /// From -8 to 8.
    Uniform,
    /// Numbers of both signs, exponents from -14 to 14.
    Wide,
    /// From 20 to 60 and from -60 to -20, where most functions are flat or straight.
    Saturated,
    /// Nothing else.
    Nan,
    /// Subnormal numbers of both signs.
    Subnormal,
    /// Negative numbers with a subnormal exponential.
    Tails,
}

impl Inputs {
    /// All of them, by name.
    pub const ALL: [(&'static str, Inputs); 7] = [
        ("normal", Inputs::Normal),
        ("uniform", Inputs::Uniform),
        ("wide", Inputs::Wide),
        ("saturated", Inputs::Saturated),
        ("nan", Inputs::Nan),
        ("subnormal", Inputs::Subnormal),
        ("tails", Inputs::Tails),
    ];

    /// By name.
    ///
    /// # Errors
    /// There is no such kind; the message is for the command line.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|f| f.1).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|f| f.0).collect();
            format!("it must be one of {}", names.join(", "))
        })
    }

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |f| f.0)
    }

    /// Pseudo-random numbers of this kind.
    fn numbers<T: Cell>(self, mut seed: u64) -> impl Iterator<Item = T> {
        let mut uniform = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f64 / f64::from(1 << 24)
        };
        // Exponents of the least normal and of the least number.
        let (normal, least) = match T::NAME {
            "f16" => (-14.0f64, -24.0f64),
            "bf16" => (-126.0, -133.0),
            "f32" => (-126.0, -149.0),
            _ => (-1022.0, -1074.0),
        };
        std::iter::repeat_with(move || {
            let u = uniform();
            let mut sign = || if uniform() < 0.5 { -1.0 } else { 1.0 };
            T::from_f64(match self {
                Inputs::Uniform => 16.0 * u - 8.0,
                Inputs::Wide => sign() * (28.0 * u - 14.0).exp2(),
                Inputs::Saturated => sign() * (20.0 + 40.0 * u),
                Inputs::Nan => f64::NAN,
                Inputs::Subnormal => sign() * normal.exp2() * u,
                Inputs::Tails => std::f64::consts::LN_2 * (normal + (least - normal) * u),
                Inputs::Normal => 3.0 * (u + (0..11).map(|_| uniform()).sum::<f64>() - 6.0),
            })
        })
    }
}

/// What is measured beside the functions.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Elements of an array.
    pub n: usize,
    /// What is in it.
    pub inputs: Inputs,
    /// Also time an odd length, and arrays that begin one element after a multiple of 64 bytes.
    pub layouts: bool,
}

/// Numbers that begin at a multiple of 64 bytes.
struct Aligned<T> {
    all: Vec<T>,
    start: usize,
    n: usize,
}

impl<T: Cell> Aligned<T> {
    fn new(n: usize, numbers: impl Iterator<Item = T>) -> Self {
        const TO: usize = 64;
        let mut all: Vec<T> = Vec::with_capacity(n + TO / size_of::<T>());
        let from = all.as_ptr().addr();
        let start = (from.next_multiple_of(TO) - from) / size_of::<T>();
        all.extend(std::iter::repeat_n(T::default(), start));
        all.extend(numbers.take(n));
        Aligned { all, start, n }
    }

    fn get(&self) -> &[T] {
        &self.all[self.start..self.start + self.n]
    }

    fn get_mut(&mut self) -> &mut [T] {
        &mut self.all[self.start..self.start + self.n]
    }
}

/// Times of the yardsticks and of every function in `chosen`.
#[must_use]
pub fn run<T: Cell>(chosen: &[Chosen], exec: &Exec, setup: &Setup) -> Vec<Timing> {
    let n = setup.n;
    let x = Aligned::new(n, setup.inputs.numbers::<T>(1));
    let g = Aligned::new(n, Inputs::Normal.numbers::<T>(2));
    // One output for each entrant would leave the cache; all share these.
    let zeros = || Aligned::new(n, std::iter::repeat(T::default())).into();
    let outputs = Outputs { y: zeros(), z: zeros() };
    let mut entrants = yardsticks(x.get(), &outputs, exec);
    for f in chosen {
        entrants.extend(entries(f, x.get(), g.get(), &outputs, exec, setup));
    }
    let times = rounds(&mut entrants);
    let copy = times[0].0 / n as f64;
    let size = size_of::<T>() as f64;
    let timing = |(e, (median, fastest)): (&Entrant<'_>, (f64, f64))| {
        let (arrays, median) = (e.arrays as f64, median / e.elements as f64);
        Timing {
            name: e.name.clone(),
            what: e.what,
            nanoseconds: median * 1e9,
            fastest: fastest * 1e9 / e.elements as f64,
            copies: median / (copy * arrays / 2.0),
            throughput: arrays * size / median * 1e-9,
        }
    };
    entrants.iter().zip(times).map(timing).collect()
}

/// Arrays that all entrants write to, one at a time.
struct Outputs<T> {
    y: RefCell<Aligned<T>>,
    z: RefCell<Aligned<T>>,
}

/// Seconds that reading the clock takes.
fn clock() -> f64 {
    let one = |_| {
        let start = Instant::now();
        start.elapsed().as_secs_f64()
    };
    (0..1000).map(one).fold(f64::INFINITY, f64::min)
}

/// Median and least seconds of each entrant.
fn rounds(entrants: &mut [Entrant<'_>]) -> Vec<(f64, f64)> {
    let clock = clock();
    // Where something comes before a call, each call is timed alone.
    let time = |e: &mut Entrant<'_>, calls: u32| {
        let Some(before) = &mut e.before else {
            let start = Instant::now();
            (0..calls).for_each(|_| (e.call)());
            return start.elapsed().as_secs_f64() / f64::from(calls);
        };
        let one = |_| {
            before();
            let start = Instant::now();
            (e.call)();
            start.elapsed().as_secs_f64() - clock
        };
        ((0..calls).map(one).sum::<f64>() / f64::from(calls)).max(1e-10)
    };
    let calls: Vec<u32> = entrants
        .iter_mut()
        .map(|e| {
            time(e, 1); // Pages and caches are warm.
            (SLICE / time(e, 1).max(1e-9)).clamp(1.0, 1e6) as u32
        })
        .collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); entrants.len()];
    for _ in 0..ROUNDS {
        for ((e, calls), times) in entrants.iter_mut().zip(&calls).zip(&mut times) {
            times.push(time(e, *calls));
        }
    }
    let summary = |mut t: Vec<f64>| {
        t.sort_by(f64::total_cmp);
        (t[ROUNDS / 2], t[0])
    };
    times.into_iter().map(summary).collect()
}

fn yardsticks<'a, T: Cell>(x: &'a [T], out: &'a Outputs<T>, exec: &Exec) -> Vec<Entrant<'a>> {
    let entrant = |name: &str, call: Box<dyn FnMut() + 'a>| Entrant {
        name: name.to_owned(),
        what: "yardstick",
        arrays: 2,
        elements: x.len(),
        call,
        before: None,
    };
    let (ordinary, streaming) = (exec.stream_from(usize::MAX), exec.stream_from(0));
    vec![
        entrant(
            "memcpy",
            Box::new(move || black_box(out.y.borrow_mut().get_mut()).copy_from_slice(black_box(x))),
        ),
        entrant(
            "relu, ordinary stores",
            Box::new(move || {
                nonlin::Relu.forward_with(
                    &ordinary,
                    black_box(x),
                    black_box(out.y.borrow_mut().get_mut()),
                )
            }),
        ),
        entrant(
            "relu, streaming stores",
            Box::new(move || {
                nonlin::Relu.forward_with(
                    &streaming,
                    black_box(x),
                    black_box(out.y.borrow_mut().get_mut()),
                )
            }),
        ),
        entrant(
            "sigmoid, scalar std",
            Box::new(move || {
                let mut y = out.y.borrow_mut();
                for (y, x) in black_box(y.get_mut()).iter_mut().zip(black_box(x)) {
                    let x = x.to_f64();
                    // In the type itself, half types in f32.
                    *y = T::from_f64(if T::NAME == "f64" {
                        1.0 / (1.0 + (-x).exp())
                    } else {
                        f64::from(1.0 / (1.0 + (-(x as f32)).exp()))
                    });
                }
            }),
        ),
    ]
}

fn entries<'a, T: Cell>(
    f: &'a Chosen,
    x: &'a [T],
    g: &'a [T],
    out: &'a Outputs<T>,
    exec: &Exec,
    setup: &Setup,
) -> Vec<Entrant<'a>> {
    let entrant = |what, arrays, call: Box<dyn FnMut() + 'a>| Entrant {
        name: f.meta().name.to_owned(),
        what,
        arrays,
        elements: x.len(),
        call,
        before: None,
    };
    let exec = *exec;
    match f {
        Chosen::Elementwise(f) => {
            // Part of the arrays.
            let part = |what, from: usize, to: usize| Entrant {
                elements: to - from,
                ..entrant(
                    what,
                    2,
                    Box::new(move || {
                        let mut y = out.y.borrow_mut();
                        let y = &mut y.get_mut()[from..to];
                        f.forward_with(&exec, black_box(&x[from..to]), black_box(y));
                    }),
                )
            };
            let mut all = vec![
                part("forward", 0, x.len()),
                Entrant {
                    // Values of values of values run to fixed points and into subnormal numbers.
                    before: Some(Box::new(move || out.z.borrow_mut().get_mut().copy_from_slice(x))),
                    ..entrant(
                        "in place",
                        2,
                        Box::new(move || {
                            let mut z = out.z.borrow_mut();
                            f.forward_in_place_with(&exec, black_box(z.get_mut()));
                        }),
                    )
                },
                entrant(
                    "backward",
                    3,
                    Box::new(move || {
                        let mut y = out.y.borrow_mut();
                        f.backward_with(&exec, black_box(x), g, black_box(y.get_mut()));
                    }),
                ),
            ];
            if f.claims().from_output.is_some() {
                let mut y = vec![T::default(); x.len()];
                f.forward_with(&exec, x, &mut y);
                let call = move || {
                    let mut to = out.y.borrow_mut();
                    // The function has it, so this cannot fail.
                    let _ = f.backward_from_output_with(
                        &exec,
                        black_box(&y),
                        g,
                        black_box(to.get_mut()),
                    );
                };
                all.push(entrant("from output", 3, Box::new(call)));
            }
            if setup.layouts && x.len() > 2 {
                all.push(part("odd", 0, (x.len() - 1) | 1));
                all.push(part("unaligned", 1, x.len()));
            }
            all
        }
        Chosen::Gated(f) => vec![
            entrant(
                "forward",
                3,
                Box::new(move || {
                    f.forward_with(&exec, black_box(x), g, out.y.borrow_mut().get_mut())
                }),
            ),
            entrant(
                "backward",
                5,
                Box::new(move || {
                    let (mut y, mut z) = (out.y.borrow_mut(), out.z.borrow_mut());
                    f.backward_with(&exec, black_box(x), g, x, y.get_mut(), z.get_mut());
                }),
            ),
        ],
        Chosen::Rows(f) => {
            let rows = x.len() / ROW;
            let shape = [rows, ROW, 1];
            let n = rows * ROW;
            let mut forward = entrant(
                "forward",
                2,
                Box::new(move || {
                    let mut y = out.y.borrow_mut();
                    // The shape fits, so this cannot fail.
                    let _ = f.forward(&exec, black_box(&x[..n]), &shape, &mut y.get_mut()[..n]);
                }),
            );
            forward.elements = n;
            let mut y = vec![T::default(); n];
            // The shape fits, so neither can fail.
            let _ = f.forward(&exec, &x[..n], &shape, &mut y);
            let mut back = entrant(
                "from output",
                3,
                Box::new(move || {
                    let mut dx = out.y.borrow_mut();
                    let dx = &mut dx.get_mut()[..n];
                    let _ = f.backward_from_output(
                        &exec,
                        black_box(&y),
                        &g[..n],
                        &shape,
                        black_box(dx),
                    );
                }),
            );
            back.elements = n;
            vec![forward, back]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(n: usize) -> Setup {
        Setup { n, inputs: Inputs::Normal, layouts: true }
    }

    fn outputs<T: Cell>(n: usize) -> Outputs<T> {
        let zeros = || Aligned::new(n, std::iter::repeat(T::default())).into();
        Outputs { y: zeros(), z: zeros() }
    }

    #[test]
    fn all_kinds_are_timed() {
        let chosen: Vec<Chosen> =
            ["relu", "swiglu", "softmax"].iter().map(|n| Chosen::new(n, &[]).unwrap()).collect();
        let timings = run::<f32>(&chosen, &Exec::new(), &setup(2048));
        let names: Vec<String> = timings.iter().map(|t| format!("{} {}", t.name, t.what)).collect();
        for wanted in [
            "memcpy yardstick",
            "relu backward",
            "relu in place",
            "relu odd",
            "relu unaligned",
            "swiglu backward",
            "softmax forward",
            "softmax from output",
        ] {
            assert!(names.iter().any(|n| n == wanted), "{names:?}");
        }
        assert!((timings[0].copies - 1.0).abs() < 1e-12);
        assert!(timings.iter().all(|t| t.nanoseconds >= t.fastest && t.fastest > 0.0));
    }

    #[test]
    fn in_place_begins_anew() {
        let x = Aligned::new(64, Inputs::Normal.numbers::<f32>(1));
        let outputs = outputs(64);
        let f = Chosen::new("gelu", &[]).unwrap();
        let mut all = entries(&f, x.get(), x.get(), &outputs, &Exec::new(), &setup(64));
        let found = all.iter().position(|e| e.what == "in place").unwrap();
        rounds(&mut all[found..=found]);
        let mut once = x.get().to_vec();
        nonlin::Gelu.forward_in_place(&mut once);
        assert_eq!(outputs.z.borrow().get(), once);
    }

    #[test]
    fn layouts_are_what_they_say() {
        for n in [3, 64, 65] {
            let x = Aligned::new(n, Inputs::Normal.numbers::<f64>(1));
            assert_eq!(x.get().as_ptr().addr() % 64, 0);
            let outputs = outputs(n);
            let f = Chosen::new("relu", &[]).unwrap();
            let all = entries(&f, x.get(), x.get(), &outputs, &Exec::new(), &setup(n));
            let elements = |what: &str| all.iter().find(|e| e.what == what).unwrap().elements;
            assert!(elements("odd") % 2 == 1 && n - elements("odd") < 2, "{n}");
            assert_eq!(elements("unaligned"), n - 1);
        }
    }

    #[test]
    fn inputs_are_normal() {
        let x: Vec<f64> = Inputs::Normal.numbers(1).take(10_000).collect();
        let mean = x.iter().sum::<f64>() / 1e4;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.1 && (variance.sqrt() - 3.0).abs() < 0.1, "{mean} {variance}");
    }

    fn kinds<T: Cell>() {
        let x = |inputs: Inputs| -> Vec<f64> {
            inputs.numbers::<T>(1).take(5000).map(T::to_f64).collect()
        };
        // All of them are within, and some near both ends.
        let within = |inputs, low: f64, high: f64| {
            let x: Vec<f64> = x(inputs).iter().map(|v| v.abs()).collect();
            let name = (T::NAME, inputs);
            assert!(x.iter().all(|v| (low..=high).contains(v)), "{name:?}");
            assert!(x.iter().any(|v| *v < low + (high - low) * 0.1), "{name:?}");
            assert!(x.iter().any(|v| *v > low + (high - low) * 0.9), "{name:?}");
        };
        within(Inputs::Uniform, 0.0, 8.0);
        within(Inputs::Wide, 2f64.powi(-14), 2f64.powi(14));
        within(Inputs::Saturated, 20.0, 60.0);
        assert!(x(Inputs::Nan).iter().all(|v| v.is_nan()));
        let normal = match T::NAME {
            "f16" => 2f64.powi(-14),
            "f64" => f64::MIN_POSITIVE,
            _ => f64::from(f32::MIN_POSITIVE),
        };
        within(Inputs::Subnormal, 0.0, normal);
        // Rounding of the input moves the exponential a little.
        let exp: Vec<f64> = x(Inputs::Tails).iter().map(|v| v.exp()).collect();
        assert!(exp.iter().all(|v| *v > 0.0 && *v < normal * 1.5), "{}", T::NAME);
    }

    #[test]
    fn inputs_are_of_their_kind() {
        kinds::<f32>();
        kinds::<f64>();
        kinds::<half::f16>();
        kinds::<half::bf16>();
        for (name, inputs) in Inputs::ALL {
            assert_eq!((Inputs::parse(name), inputs.name()), (Ok(inputs), name));
        }
        assert!(Inputs::parse("gauss").unwrap_err().contains("normal, uniform"));
    }
}
