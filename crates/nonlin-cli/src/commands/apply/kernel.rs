//! The function that is applied, block by block.

use anyhow::{Context, Result};
use nonlin::Exec;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::args::Apply;
use crate::chosen::Chosen;
use crate::input::Cell;
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
    exec: Exec,
    pool: Option<ThreadPool>,
    /// Elements of arrays before this one, so that each has random numbers of its own.
    pub before: u64,
}

impl Call {
    /// As the options say.
    pub fn new(function: Chosen, mode: Mode, args: &Apply) -> Result<Self> {
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
        Ok(Call { function, mode, seed: args.seed, exec, pool, before: 0 })
    }

    fn compute<T: Cell>(
        &self,
        start: usize,
        [outer, n, inner]: [usize; 3],
        x: &[&[T]],
        y: &mut [Vec<T>],
    ) -> Result<()> {
        let exec = &self.exec;
        let ones = |n: usize| vec![T::from_f64(1.0); n];
        match (&self.function, self.mode, x, y) {
            (Chosen::Elementwise(f), mode, [x, grad @ ..], [y, ..]) => {
                match (self.seed, mode, grad) {
                    (None, Mode::Backward, [grad, ..]) => f.backward_with(exec, x, grad, y),
                    (None, Mode::BackwardFromOutput, [grad, ..]) => {
                        f.backward_from_output_with(exec, x, grad, y)?;
                    }
                    (None, Mode::Derivative, _) => f.derivative_with(exec, x, y),
                    (None, ..) => f.forward_with(exec, x, y),
                    (Some(seed), mode, grad) => {
                        let f = f.training(seed, self.before + start as u64)?;
                        match (mode, grad) {
                            (Mode::Backward, [grad, ..]) => {
                                f.backward_with(exec, x, grad, y);
                            }
                            (Mode::Derivative, _) => {
                                f.backward_with(exec, x, &ones(x.len()), y);
                            }
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
            (Chosen::Rows(f), mode, [x, grad @ ..], [y, ..]) => {
                let shape = [outer, n, inner];
                match (mode, grad) {
                    (Mode::Backward, [grad, ..]) => f.backward(exec, x, grad, &shape, y)?,
                    (Mode::BackwardFromOutput, [grad, ..]) => {
                        f.backward_from_output(exec, x, grad, &shape, y)?;
                    }
                    _ => f.forward(exec, x, &shape, y)?,
                }
            }
            _ => unreachable!("the operands fit the function and the mode"),
        }
        Ok(())
    }
}

impl Kernel for Call {
    fn run<T: Cell>(
        &self,
        start: usize,
        shape: [usize; 3],
        x: &[&[T]],
        y: &mut [Vec<T>],
    ) -> Result<()> {
        match &self.pool {
            Some(pool) => pool.install(|| self.compute(start, shape, x, y)),
            None => self.compute(start, shape, x, y),
        }
    }
}
