//! The function that is applied, block by block.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use nonlin::{EmptyRow, Exec, Gate, Mask};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::args::Apply;
use crate::chosen::Chosen;
use crate::input::{Cell, Operand};
use crate::stream::Kernel;

/// Which of the operands of a gated function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// The first.
    A,
    /// The second.
    B,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// f.
    Forward,
    /// f′ of an elementwise function.
    Derivative,
    /// f″ of an elementwise function.
    SecondDerivative,
    /// A partial derivative of a gated function.
    Partial(Partial),
    /// The gradient by the input (gated: by both), from the last operand.
    Backward,
    /// The gradient by the input, from the output and the last operand.
    BackwardFromOutput,
}

/// A function, what of it is computed, and how.
pub struct Call {
    /// The function.
    pub function: Chosen,
    /// What of it.
    pub mode: Mode,
    /// The seed of random slopes; `None` without `--train`.
    seed: Option<u64>,
    /// What `--causal` and `--window` let a query see.
    pub band: Option<Band>,
    exec: Exec,
    pool: Option<ThreadPool>,
    /// Elements of arrays before this one, so that each has random numbers of its own.
    pub before: u64,
}

/// The keys that query `i` sees: those up to `i + offset`, and so many around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    offset: isize,
    causal: bool,
    window: Option<(usize, usize)>,
}

impl Call {
    /// As the options say.
    pub fn new(mut function: Chosen, mode: Mode, args: &Apply) -> Result<Self> {
        let mut exec = Exec::new();
        if let Some(level) = &args.level {
            exec = exec.level(level.parse()?)?;
        }
        if let Some(block) = args.block {
            exec = exec.block(usize::try_from(block).unwrap_or(usize::MAX));
        }
        let mut pool = None;
        if args.threads > 1 {
            exec = exec.parallel();
            let built = ThreadPoolBuilder::new().num_threads(args.threads).build();
            pool = Some(built.with_context(|| format!("cannot start {} threads", args.threads))?);
        }
        if let (Chosen::Gated(f), Some(gate)) = (&mut function, &args.gate) {
            let gate = if gate == "first" { Gate::First } else { Gate::Second };
            *f = f.with_gate(gate);
        }
        if let (Chosen::Rows(f), Some("zero")) = (&mut function, args.empty_rows.as_deref()) {
            f.empty_rows(EmptyRow::Zero);
        }
        let banded = args.causal.is_some() || args.window.is_some();
        let band = banded.then_some(Band {
            offset: args.causal.unwrap_or(0),
            causal: args.causal.is_some(),
            window: args.window,
        });
        Ok(Call { function, mode, seed: args.seed, band, exec, pool, before: 0 })
    }
}

/// What is added to or taken from the scores of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Nothing.
    None,
    /// Where the mask is 0 they are left out.
    Keep,
    /// The mask is added.
    Add,
}

/// How rows lie in a block: its axes are outer, these, inner.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Lengths of the axes from the first to the last that matters.
    pub middle: Vec<usize>,
    /// Which axes of a block rows run along.
    pub axes: Vec<isize>,
    /// The axis of a block that queries lie along.
    pub queries: Option<isize>,
    /// The operand behind the first is a mask.
    pub masking: Masking,
}

/// A call on one array.
pub struct Job<'a> {
    call: &'a Call,
    rows: Option<&'a Rows>,
    /// The slopes of PReLU: one for each channel, or one for all.
    weight: Option<&'a Operand<'a>>,
    /// The gradient by the weights of all blocks so far.
    by_weight: Mutex<Vec<f64>>,
}

impl<'a> Job<'a> {
    /// A call whose results depend on elements alone.
    pub fn new(call: &'a Call) -> Self {
        Self::of(call, None, None)
    }

    /// A call along axes, or with weights along one.
    pub fn of(call: &'a Call, rows: Option<&'a Rows>, weight: Option<&'a Operand>) -> Self {
        let count = weight.map_or(0, |w| w.array.elements());
        Job { call, rows, weight, by_weight: Mutex::new(vec![0.0; count]) }
    }

    /// The gradient by the weights.
    pub fn by_weight(self) -> Vec<f64> {
        self.by_weight.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn compute<T: Cell>(
        &self,
        start: usize,
        shape: [usize; 3],
        x: &[&[T]],
        y: &mut [Vec<T>],
    ) -> Result<()> {
        let exec = &self.call.exec;
        let ones = |n: usize| vec![T::from_f64(1.0); n];
        match (&self.call.function, self.call.mode, x, y) {
            (Chosen::Elementwise(f), mode, [x, grad @ ..], [y, ..]) => {
                if let Some(weight) = self.weight {
                    let mut weights = vec![T::default(); weight.array.elements()];
                    weight.load(0, &mut weights);
                    let f = f.per_channel(&weights, &shape, 1)?;
                    let mut by_weight = vec![T::default(); weights.len()];
                    match (mode, grad) {
                        (Mode::Backward, [grad, ..]) => {
                            f.backward_with(exec, x, grad, y, &mut by_weight);
                            let mut sums =
                                self.by_weight.lock().unwrap_or_else(PoisonError::into_inner);
                            sums.iter_mut().zip(by_weight).for_each(|(sum, d)| *sum += d.to_f64());
                        }
                        (Mode::Derivative, _) => {
                            f.backward_with(exec, x, &ones(x.len()), y, &mut by_weight);
                        }
                        _ => f.forward_with(exec, x, y),
                    }
                    return Ok(());
                }
                match (self.call.seed, mode, grad) {
                    (None, Mode::Backward, [grad, ..]) => f.backward_with(exec, x, grad, y),
                    (None, Mode::BackwardFromOutput, [grad, ..]) => {
                        f.backward_from_output_with(exec, x, grad, y)?;
                    }
                    (None, Mode::Derivative, _) => f.derivative_with(exec, x, y),
                    (None, Mode::SecondDerivative, _) => f.second_derivative_with(exec, x, y),
                    (None, ..) => f.forward_with(exec, x, y),
                    (Some(seed), mode, grad) => {
                        let f = f.training(seed, self.call.before + start as u64)?;
                        match (mode, grad) {
                            (Mode::Backward, [grad, ..]) => f.backward_with(exec, x, grad, y),
                            (Mode::Derivative, _) => f.backward_with(exec, x, &ones(x.len()), y),
                            _ => f.forward_with(exec, x, y),
                        }
                    }
                }
            }
            (Chosen::Gated(f), Mode::Backward, [a, b, grad], [da, db]) => {
                f.backward_with(exec, a, b, grad, da, db);
            }
            (Chosen::Gated(f), Mode::Partial(by), [a, b], [y]) => {
                let mut other = vec![T::default(); y.len()];
                let (da, db) = if by == Partial::A { (y, &mut other) } else { (&mut other, y) };
                f.backward_with(exec, a, b, &ones(a.len()), da, db);
            }
            (Chosen::Gated(f), _, [a, b], [y]) => f.forward_with(exec, a, b, y),
            (Chosen::Rows(_), _, x, [y, ..]) => self.rows(shape, x, y)?,
            _ => bail!("the operands do not fit the function"),
        }
        Ok(())
    }

    fn rows<T: Cell>(&self, [outer, n, inner]: [usize; 3], x: &[&[T]], y: &mut [T]) -> Result<()> {
        let (Chosen::Rows(f), exec) = (&self.call.function, &self.call.exec) else {
            bail!("not a row-wise function");
        };
        let along = Rows { middle: vec![n], axes: vec![1], queries: None, masking: Masking::None };
        let rows = self.rows.unwrap_or(&along);
        let shape: Vec<usize> =
            [outer].into_iter().chain(rows.middle.iter().copied()).chain([inner]).collect();
        let (f, axes) = (f.softmax(), rows.axes.as_slice());
        let keep: Vec<bool>;
        let (x, mut mask, grad) = match (rows.masking, x) {
            (Masking::None, [x, grad @ ..]) => (x, Mask::new(), grad.first()),
            (Masking::Keep, [x, entries, grad @ ..]) => {
                keep = entries.iter().map(|v| v.to_f64() != 0.0).collect();
                (x, Mask::new().keep(&keep, &shape), grad.first())
            }
            (Masking::Add, [x, entries, grad @ ..]) => {
                (x, Mask::new().add(entries, &shape), grad.first())
            }
            _ => bail!("the operands do not fit the function"),
        };
        if let Some(Band { offset, causal, window }) = self.call.band {
            if let Some(queries) = rows.queries {
                mask = mask.queries(queries);
            }
            if causal {
                mask = mask.causal(offset);
            }
            if let Some((before, after)) = window {
                mask = mask.window(offset, before, after);
            }
        }
        match (self.call.mode, grad) {
            (Mode::Backward, Some(grad)) => {
                // The library takes the gradient from the output.
                let mut p = vec![T::default(); x.len()];
                f.forward_with(exec, x, &shape, axes, mask, &mut p)?;
                f.backward_with(exec, &p, grad, &shape, axes, mask, y)?;
            }
            (Mode::BackwardFromOutput, Some(grad)) => {
                f.backward_with(exec, x, grad, &shape, axes, mask, y)?;
            }
            _ => f.forward_with(exec, x, &shape, axes, mask, y)?,
        }
        Ok(())
    }
}

impl Kernel for Job<'_> {
    fn run<T: Cell>(
        &self,
        start: usize,
        shape: [usize; 3],
        x: &[&[T]],
        y: &mut [Vec<T>],
    ) -> Result<()> {
        match &self.call.pool {
            Some(pool) => pool.install(|| self.compute(start, shape, x, y)),
            None => self.compute(start, shape, x, y),
        }
    }
}
