//! Times nonlin, scalar code over std, Candle and tract-linalg on demand.
//!
//! `rivals FOLDER THREADS` obeys lines on standard input, as `bench/speed/rivals.py` does for
//! Python's libraries; `xtask/src/peers/rival.rs` tells the lines and what they are answered with.

mod candle;
mod ours;
mod scalar;
mod tract;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use half::bf16;

/// What is to be measured.
struct Cell {
    what: String,
    function: String,
    n: usize,
    threads: usize,
}

/// A number type of the measurements. Both of its traits convert to and from f64, hence the names.
pub trait Number: nonlin::Element + candle_core::WithDType {
    /// Rounded; the files hold numbers of the type.
    fn rounded(v: f64) -> Self {
        <Self as nonlin::Element>::from_f64(v)
    }
    /// Exact.
    fn exact(self) -> f64 {
        <Self as nonlin::Element>::to_f64(self)
    }
}

impl Number for f32 {}
impl Number for f64 {}
impl Number for bf16 {}

/// Numbers that begin at a multiple of 64 bytes, as the tensors of the other libraries do.
struct Aligned<T> {
    all: Vec<T>,
    start: usize,
    n: usize,
}

impl<T: Number> Aligned<T> {
    /// At `place` times 1088 bytes behind the start of a page: arrays at the same place of their
    /// pages would hinder each other.
    fn new(n: usize, place: usize, numbers: impl Iterator<Item = T>) -> Self {
        const PAGE: usize = 4096;
        let size = size_of::<T>();
        let mut all: Vec<T> = Vec::with_capacity(n + 2 * PAGE / size);
        let from = all.as_ptr().addr();
        let start = (from.next_multiple_of(PAGE) + place * (1024 + 64) - from) / size;
        all.extend(std::iter::repeat_n(T::rounded(0.0), start));
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

/// The inputs of a length, and an output that all cells of the type share.
#[derive(Clone)]
struct Arrays<T> {
    x: Rc<Aligned<T>>,
    g: Rc<Aligned<T>>,
    y: Rc<RefCell<Aligned<T>>>,
}

impl<T: Number> Arrays<T> {
    fn new(folder: &Path, n: usize) -> Result<Self> {
        let read = |name: &str, place| -> Result<Rc<Aligned<T>>> {
            let path = folder.join(format!("{name}.{}", <T as nonlin::Element>::NAME));
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            let (words, _) = bytes.as_chunks::<8>();
            let base: Vec<T> = words.iter().map(|b| T::rounded(f64::from_le_bytes(*b))).collect();
            Ok(Rc::new(Aligned::new(n, place, base.iter().cycle().copied())))
        };
        let y = Aligned::new(n, 2, std::iter::repeat(T::rounded(0.0)));
        Ok(Arrays { x: read("x", 0)?, g: read("g", 1)?, y: Rc::new(RefCell::new(y)) })
    }
}

/// A call that can be timed, and the first elements of its result as f64.
struct Case {
    call: Box<dyn FnMut()>,
    result: Box<dyn Fn(usize) -> Vec<f64>>,
}

impl Case {
    /// A call that writes to the common output.
    fn new<T: Number>(
        arrays: &Arrays<T>,
        mut call: impl FnMut(&[T], &[T], &mut [T]) + 'static,
    ) -> Self {
        let (a, y) = (arrays.clone(), arrays.y.clone());
        Case {
            call: Box::new(move || {
                let mut y = a.y.borrow_mut();
                call(black_box(a.x.get()), black_box(a.g.get()), black_box(y.get_mut()));
            }),
            result: Box::new(move |most| {
                let y = y.borrow();
                y.get().iter().take(most).map(|v| v.exact()).collect()
            }),
        }
    }
}

impl Case {
    /// Nanoseconds a call.
    fn time(&mut self, calls: u32) -> f64 {
        // Others have had the caches; a slice of many calls is not to pay for that.
        (0..calls / 4).for_each(|_| (self.call)());
        let start = Instant::now();
        (0..calls).for_each(|_| (self.call)());
        start.elapsed().as_nanos().max(1) as f64 / f64::from(calls)
    }
}

/// Arrays of the type and length asked for last.
#[derive(Default)]
struct Shelf {
    single: Option<(usize, Arrays<f32>)>,
    double: Option<(usize, Arrays<f64>)>,
    brain: Option<(usize, Arrays<bf16>)>,
}

fn fetch<T: Number>(
    slot: &mut Option<(usize, Arrays<T>)>,
    folder: &Path,
    n: usize,
) -> Result<Arrays<T>> {
    if slot.as_ref().is_none_or(|(held, _)| *held != n) {
        *slot = None;
        *slot = Some((n, Arrays::new(folder, n)?));
    }
    Ok(slot.as_ref().context("arrays")?.1.clone())
}

impl Shelf {
    /// The call of `who`; `None` where it has no such function.
    fn case(&mut self, folder: &Path, who: &str, cell: &Cell, dtype: &str) -> Result<Option<Case>> {
        let single = if dtype == "f32" { self.single.take() } else { None };
        let double = if dtype == "f64" { self.double.take() } else { None };
        let brain = if dtype == "bf16" { self.brain.take() } else { None };
        *self = Shelf { single, double, brain };
        match dtype {
            "f32" => {
                let arrays = fetch(&mut self.single, folder, cell.n)?;
                match who {
                    "std" => Ok(scalar::case(cell, &arrays)),
                    "tract" => tract::case(cell, &arrays),
                    _ => common(who, cell, &arrays),
                }
            }
            "f64" => {
                let arrays = fetch(&mut self.double, folder, cell.n)?;
                if who == "std" {
                    Ok(scalar::case(cell, &arrays))
                } else {
                    common(who, cell, &arrays)
                }
            }
            "bf16" => common(who, cell, &fetch(&mut self.brain, folder, cell.n)?),
            other => bail!("no type {other}"),
        }
    }
}

fn common<T: Number>(who: &str, cell: &Cell, arrays: &Arrays<T>) -> Result<Option<Case>> {
    match who {
        "candle" => candle::case(cell, arrays),
        "std" | "tract" => Ok(None),
        _ => ours::case(who, cell, arrays),
    }
}

fn serve(folder: &Path, threads: usize) -> Result<()> {
    let versions = ["candle-core", "tract-linalg"].map(locked);
    println!(
        "ready {{\"nonlin\": \"{}\", \"level\": \"{}\", \"candle\": \"{}\", \"tract-linalg\": \"{}\"}}",
        locked("nonlin"),
        nonlin::Level::best(),
        versions[0],
        versions[1],
    );
    std::io::stdout().flush()?;
    let (mut shelf, mut open) = (Shelf::default(), HashMap::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["open", who, what, function, dtype, n, slice] => {
                let n: usize = n.parse()?;
                let cell = Cell { what: what.into(), function: function.into(), n, threads };
                match shelf.case(folder, who, &cell, dtype) {
                    Ok(None) => "no".into(),
                    Err(e) => format!("failed {}", format!("{e:#}").replace('\n', " ")),
                    Ok(Some(mut case)) => {
                        (case.call)(); // Pages are there.
                        let (slice, mut calls) = (slice.parse::<f64>()?, 1);
                        // The second estimate is of warm calls.
                        for _ in 0..2 {
                            calls = (slice / case.time(calls)).clamp(1.0, 1e6) as u32;
                            if calls == 1 {
                                break;
                            }
                        }
                        open.insert(who.to_owned(), (case, calls));
                        "ok".into()
                    }
                }
            }
            ["check", who, file, most] => {
                let (case, _) = open.get(who).context("nothing is open")?;
                let most: usize = most.parse()?;
                let result = (case.result)(most);
                let bytes = result.iter().flat_map(|v| v.to_le_bytes());
                std::fs::write(file, bytes.collect::<Vec<u8>>())
                    .with_context(|| file.to_owned())?;
                "ok".into()
            }
            ["time", who] => {
                let (case, calls) = open.get_mut(who).context("nothing is open")?;
                case.time(*calls).to_string()
            }
            ["close"] => {
                open.clear();
                "ok".into()
            }
            _ => bail!("unknown line `{line}`"),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The version of a dependency.
fn locked(name: &str) -> &'static str {
    let mut lines = include_str!("../Cargo.lock").lines();
    let found = lines
        .find(|line| line.strip_prefix("name = ").is_some_and(|n| n.trim_matches('"') == name));
    let version = found.and_then(|_| lines.next()).and_then(|line| line.split('"').nth(1));
    version.unwrap_or("unknown")
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, folder, threads] = &words[..] else { bail!("rivals FOLDER THREADS") };
    let (folder, threads) = (PathBuf::from(folder), threads.parse()?);
    // All of it on a thread of the pool: a parallel call then does not have to enter it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| serve(&folder, threads))
}
