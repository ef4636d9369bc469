//! Applies Candle's activation functions and their gradients to bare f32 numbers in a file.
//!
//! `candle-sample INPUT FOLDER` writes `FOLDER/candle.NAME.0.f32` and, where Candle has a
//! gradient, `FOLDER/candle.NAME.1.f32`, and prints Candle's version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Result as Candle, Tensor, Var};
use candle_nn::{Activation, Module, ops};

type Function = fn(&Tensor) -> Candle<Tensor>;

const FUNCTIONS: [(&str, Function); 12] = [
    ("relu", |x| x.relu()),
    ("leaky_relu", |x| ops::leaky_relu(x, 0.01)),
    ("elu", |x| x.elu(1.0)),
    ("selu", |x| ops::selu(x, SELU_ALPHA, SELU_SCALE)),
    ("sigmoid", ops::sigmoid),
    ("tanh", |x| x.tanh()),
    ("silu", |x| x.silu()),
    ("mish", ops::mish),
    ("gelu", |x| x.gelu_erf()),
    ("gelu_tanh", |x| x.gelu()),
    ("hard_sigmoid", ops::hard_sigmoid),
    ("hard_swish", |x| Activation::HardSwish.forward(x)),
];

const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, input, folder] = &words[..] else { anyhow::bail!("candle-sample INPUT FOLDER") };
    let bytes = fs::read(input).with_context(|| input.clone())?;
    let numbers: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let x = Var::from_vec(numbers.clone(), numbers.len(), &Device::Cpu)?;
    for (name, function) in FUNCTIONS {
        let y = function(x.as_tensor())?;
        write(folder, name, 0, &y)?;
        match y.backward() {
            Ok(slopes) => {
                if let Some(slope) = slopes.get(&x) {
                    write(folder, name, 1, slope)?;
                }
            }
            Err(e) => eprintln!("{name}: {e}"),
        }
    }
    let lock = include_str!("../Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"candle-core\"");
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1)).unwrap_or("unknown");
    println!("{version}");
    Ok(())
}

fn write(folder: &str, name: &str, direction: u8, values: &Tensor) -> Result<()> {
    let bytes: Vec<u8> =
        values.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect();
    let path = Path::new(folder).join(format!("candle.{name}.{direction}.f32"));
    fs::write(&path, bytes).with_context(|| path.display().to_string())
}
