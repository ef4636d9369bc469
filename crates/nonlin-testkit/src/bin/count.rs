//! One call of each main kernel, for `cargo xtask instructions` to count instructions in.
//!
//! ```text
//! count --list          the calls, one `NAME DIRECTION` a line, and the elements of each
//! count LEVEL           makes them in that order at a level
//! ```
//!
//! Before and after each call [`boundary_of_a_count`] is called: a profiler that starts a new
//! part there has the calls in its parts 2, 4, 6 and so on.

use std::hint::black_box;
use std::process::ExitCode;

use nonlin::{Exec, Mask, Softmax, gated, get};
use nonlin_testkit::samples::uniform;

/// Elements of a call, a block of [`Exec`]; rows of softmax have 1024.
const ELEMENTS: usize = 16_384;
const ROW: usize = 1024;

const ELEMENTWISE: [&str; 12] = [
    "relu",
    "leaky_relu",
    "hard_swish",
    "elu",
    "selu",
    "sigmoid",
    "silu",
    "tanh",
    "gelu",
    "gelu_tanh",
    "mish",
    "softplus",
];
const GATED: [&str; 3] = ["glu", "swiglu", "geglu"];

#[inline(never)]
fn boundary_of_a_count(call: usize) -> usize {
    black_box(call)
}

/// Operands between -6 and 6, not in ascending order: there the kernels take their usual way.
fn operand(seed: u64) -> Vec<f32> {
    let mut x: Vec<f32> = uniform(-6.0, 6.0, ELEMENTS as u64, seed);
    for i in 0..x.len() {
        x.swap(i, i * 7919 % ELEMENTS);
    }
    x
}

fn counted(call: impl FnOnce()) {
    boundary_of_a_count(0);
    call();
    boundary_of_a_count(1);
}

fn run(exec: &Exec) -> Result<(), nonlin::Error> {
    let (a, b, g) = (operand(1), operand(2), operand(3));
    let (mut y, mut z) = (vec![0.0f32; ELEMENTS], vec![0.0f32; ELEMENTS]);
    for name in ELEMENTWISE {
        let f = get(name)?;
        counted(|| f.forward_with(exec, &a, &mut y));
        counted(|| f.backward_with(exec, &a, &g, &mut y));
    }
    for name in GATED {
        let f = gated(name)?;
        counted(|| f.forward_with(exec, &a, &b, &mut y));
        counted(|| f.backward_with(exec, &a, &b, &g, &mut y, &mut z));
    }
    let shape = [ELEMENTS / ROW, ROW];
    let mut done = Ok(());
    counted(|| done = Softmax.forward_with(exec, &a, &shape, 1, Mask::new(), &mut y));
    done?;
    let mut done = Ok(());
    counted(|| done = Softmax.backward_with(exec, &y, &g, &shape, 1, Mask::new(), &mut z));
    done?;
    black_box((y, z));
    Ok(())
}

fn main() -> ExitCode {
    let arg = std::env::args().nth(1).unwrap_or_default();
    if arg == "--list" {
        for name in ELEMENTWISE.iter().chain(&GATED).chain(&["softmax"]) {
            println!("{name} forward {ELEMENTS}\n{name} backward {ELEMENTS}");
        }
        return ExitCode::SUCCESS;
    }
    match arg.parse().and_then(|level| Exec::new().level(level)).and_then(|exec| run(&exec)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("count: {e}");
            ExitCode::from(2)
        }
    }
}
