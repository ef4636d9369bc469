//! One line for each function, type and direction: a digest of all bits of the results.
//!
//! Two machines whose lines are equal compute the same bits.
//!
//! ```text
//! digest [LEVEL]              one line each at a level, the best if absent
//! digest LEVEL NAME           every input and result of one function
//! digest --levels             the levels of this processor
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use nonlin::{
    Element, Exec, Function, GatedFunction, Level, Mask, RowFunction, bf16, f16, functions,
    gated_functions, rowwise_functions,
};
use nonlin_testkit::samples::{mix, mix_unit, mixed, uniform};
use nonlin_testkit::ulp::{Format, pow2};

/// Gradients and second operands: of either sign, 2^-8 to 2^8 in magnitude.
fn gradient<T: Format>(n: usize) -> Vec<T> {
    let one = |i: u64| {
        let magnitude = (1.0 + mix_unit(3, i)) * pow2((mix(4, i) % 16) as i32 - 8);
        T::nearest(if mix(5, i).is_multiple_of(2) { magnitude } else { -magnitude })
    };
    (0..n as u64).map(one).collect()
}

/// Where the digests go, or the values themselves.
struct Report {
    only: Option<String>,
    text: String,
}

impl Report {
    fn add<T: Format>(&mut self, name: &str, direction: &str, inputs: &[T], results: &[T]) {
        // Which NaN it is differs between processors.
        let bits = |v: &T| if Format::is_nan(*v) { u64::MAX } else { v.pattern() };
        let what = format!("{name} {} {direction}", T::NAME);
        if self.only.is_some() {
            for (x, y) in inputs.iter().zip(results) {
                let _ = writeln!(self.text, "{what} {:x} {:x}", bits(x), bits(y));
            }
            return;
        }
        // FNV-1a over words of 64 bits.
        let mix = |h: u64, v: &T| (h ^ bits(v)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        let digest = results.iter().fold(0xcbf2_9ce4_8422_2325, mix);
        let _ = writeln!(self.text, "{what} {digest:016x}");
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }

    fn elementwise<T: Element + Format>(&mut self, exec: &Exec, f: &Function, per_exponent: u64) {
        let mut x: Vec<T> = mixed(per_exponent, &[-3.0, -1.0, 0.0, 1.0, 3.0], 8, 1);
        x.extend(uniform::<T>(-12.0, 12.0, 2000, 2));
        let g = gradient(x.len());
        let mut y = g.clone();
        f.forward_with(exec, &x, &mut y);
        self.add(f.name(), "forward", &x, &y);
        f.derivative_with(exec, &x, &mut y);
        self.add(f.name(), "derivative", &x, &y);
        f.backward_with(exec, &x, &g, &mut y);
        self.add(f.name(), "backward", &x, &y);
    }

    fn gated<T: Element + Format>(&mut self, exec: &Exec, f: &GatedFunction, per_exponent: u64) {
        let mut a: Vec<T> = mixed(per_exponent, &[-1.0, 0.0, 1.0], 4, 5);
        a.extend(uniform::<T>(-12.0, 12.0, 2000, 6));
        let b = gradient(a.len());
        let g: Vec<T> = b.iter().rev().copied().collect();
        let (mut y, mut db) = (b.clone(), b.clone());
        f.forward_with(exec, &a, &b, &mut y);
        self.add(f.name(), "forward", &a, &y);
        f.backward_with(exec, &a, &b, &g, &mut y, &mut db);
        self.add(f.name(), "by_a", &a, &y);
        self.add(f.name(), "by_b", &a, &db);
    }

    fn rows<T: Element + Format>(&mut self, exec: &Exec, f: &RowFunction) {
        for n in [1, 7, 64, 1000] {
            let x: Vec<T> = uniform(-30.0, 30.0, n as u64, n as u64);
            let g = gradient(n);
            let (mut y, mut dx) = (g.clone(), g.clone());
            f.forward_with(exec, &x, &[n], -1, Mask::new(), &mut y).expect("the shape fits");
            self.add(f.name(), &format!("forward_{n}"), &x, &y);
            f.backward_with(exec, &y, &g, &[n], -1, Mask::new(), &mut dx).expect("the shape fits");
            self.add(f.name(), &format!("backward_{n}"), &x, &dx);
        }
    }

    fn all(&mut self, exec: &Exec) {
        for f in functions() {
            if !self.wants(f.name()) {
                continue;
            }
            self.elementwise::<f32>(exec, f, 16);
            self.elementwise::<f64>(exec, f, 2);
            self.elementwise::<f16>(exec, f, 64);
            self.elementwise::<bf16>(exec, f, 16);
        }
        for f in gated_functions() {
            if !self.wants(f.name()) {
                continue;
            }
            self.gated::<f32>(exec, f, 16);
            self.gated::<f64>(exec, f, 2);
            self.gated::<f16>(exec, f, 64);
            self.gated::<bf16>(exec, f, 16);
        }
        for f in rowwise_functions() {
            if self.wants(f.name()) {
                self.rows::<f32>(exec, f);
                self.rows::<f64>(exec, f);
                self.rows::<f16>(exec, f);
                self.rows::<bf16>(exec, f);
            }
        }
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let level = args.next().unwrap_or_else(|| Level::best().name().to_owned());
    let mut report = Report { only: args.next(), text: String::new() };
    if level == "--levels" {
        for level in Level::ALL.iter().filter(|l| l.available()) {
            let _ = writeln!(report.text, "{level}");
        }
    } else {
        match level.parse().and_then(|level| Exec::new().level(level)) {
            Ok(exec) => report.all(&exec),
            Err(e) => {
                eprintln!("digest: {e}");
                return ExitCode::from(2);
            }
        }
    }
    match std::io::stdout().write_all(report.text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
