//! What the fuzz targets share: choices drawn from the input, and panics that are documented.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// The message of the panic under way; `None` while every panic is a finding.
static EXPECTED: Mutex<Option<String>> = Mutex::new(None);

/// Has every panic outside [`allowed`] end the process, as a finding.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let mut expected = EXPECTED.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(message) = &mut *expected {
            *message = info.to_string();
            return;
        }
        eprintln!("{info}");
        std::process::abort();
    }));
}

/// Runs `f`, which may panic with a message that contains one of `documented`.
pub fn allowed<R>(documented: &[&str], f: impl FnOnce() -> R) -> Option<R> {
    *EXPECTED.lock().unwrap_or_else(|e| e.into_inner()) = Some(String::new());
    let result = catch_unwind(AssertUnwindSafe(f));
    let message = EXPECTED.lock().unwrap_or_else(|e| e.into_inner()).take().unwrap_or_default();
    match result {
        Ok(value) => Some(value),
        Err(_) if documented.iter().any(|d| message.contains(d)) => None,
        Err(_) => {
            eprintln!("a panic that is not documented: {message}");
            std::process::abort();
        }
    }
}

/// Choices, one byte each; 0 after the end.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices from the input of a target.
    pub fn new(data: &'a [u8]) -> Self {
        Choices(data)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// A length: mostly small, at times one whose products wrap or end just below that.
    pub fn length(&mut self) -> usize {
        const HARD: [usize; 24] = [
            16,
            17,
            31,
            32,
            33,
            63,
            64,
            65,
            127,
            129,
            255,
            257,
            511,
            513,
            1024,
            4095,
            1 << 31,
            1 << 32,
            (1 << 32) + 1,
            1 << 62,
            1 << 63,
            (1 << 63) + 1,
            (1 << 63) + 3,
            usize::MAX,
        ];
        match self.byte() {
            b if b < 192 => usize::from(b % 10),
            b => HARD[usize::from(b - 192) % HARD.len()],
        }
    }

    /// Up to five lengths.
    pub fn shape(&mut self) -> Vec<usize> {
        let rank = self.byte() % 6;
        (0..rank).map(|_| self.length()).collect()
    }

    /// An axis, of an array or not.
    pub fn axis(&mut self) -> isize {
        match self.byte() {
            b if b < 240 => isize::from(b % 13) - 6,
            b => [isize::MIN, isize::MAX, isize::MIN + 1, 1 << 40][usize::from(b) % 4],
        }
    }

    /// The length of an array that should have that shape: the wrapped product, or another.
    pub fn elements(&mut self, shape: &[usize]) -> usize {
        let wrapped = shape.iter().fold(1usize, |n, &m| n.wrapping_mul(m));
        let near = match self.byte() {
            b if b < 224 => wrapped,
            b => [wrapped.wrapping_add(1), wrapped.wrapping_sub(1), 0, 1, 2, 64, 100, 1000]
                [usize::from(b) % 8],
        };
        if near > MOST { near % 97 } else { near }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// The longest array.
const MOST: usize = 1 << 14;

/// Numbers of all kinds, the same for the same seed: finite ones, zeros, infinities, NaN.
pub fn numbers<T: nonlin::Element>(n: usize, seed: u8) -> Box<[T]> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let one = |_| {
        let v = next();
        T::from_f64(match v % 32 {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => f64::NAN,
            3 => -0.0,
            4 => 1e300,
            5 => -1e-300,
            _ => (v >> 5) as f64 / 1e6 - 30.0,
        })
    };
    (0..n).map(one).collect()
}

/// Whether two arrays have the same bits; any NaN for a NaN.
pub fn same<T: nonlin::Element>(a: &[T], b: &[T]) -> bool {
    let equal = |(a, b): (&T, &T)| {
        let (a, b) = (a.to_f64(), b.to_f64());
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    };
    a.len() == b.len() && a.iter().zip(b).all(equal)
}
