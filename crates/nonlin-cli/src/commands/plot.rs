//! `nonlin plot`.

use anyhow::{Context, Result, bail};

use crate::args::{Plot, param};
use crate::chosen::Chosen;
use crate::output;
use crate::plot::{Curve, Figure};
use crate::sample::sample;

/// Points of a curve.
const POINTS: usize = 1600;

/// Draws the figure and writes it.
pub fn run(args: &Plot) -> Result<()> {
    let extension = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let png = match extension.to_ascii_lowercase().as_str() {
        "png" => true,
        "svg" => false,
        _ => bail!("{}: a figure is .svg or .png; name one of these", args.output.display()),
    };
    let functions: Vec<Chosen> =
        args.names.iter().map(|text| parse(text, &args.params.params)).collect::<Result<_>>()?;
    let prime = if args.derivative { "′" } else { "" };
    let label = |f: &Chosen| match f {
        Chosen::Elementwise(_) => f.label(),
        _ => format!("{}({})", f.meta().name, f.section()),
    };
    let curve = |f: &Chosen| Curve {
        label: label(f),
        points: sample(f, args.derivative, args.range, POINTS),
    };
    let title = match (functions.as_slice(), args.derivative) {
        ([f], _) => format!("{}{prime}", label(f)),
        (_, false) => "Activation functions".to_owned(),
        (_, true) => "Derivatives of activation functions".to_owned(),
    };
    let figure = Figure {
        title,
        x_label: "x".to_owned(),
        y_label: format!("f{prime}(x)"),
        x_range: args.range,
        y_range: None,
        curves: functions.iter().map(curve).collect(),
    };
    let bytes = if png { figure.png() } else { figure.svg().map(String::into_bytes) };
    output::write(&args.output, &bytes.with_context(|| args.output.display().to_string())?)
}

/// `elu:alpha=0.5`, and the parameters for all.
fn parse(text: &str, common: &[(String, f64)]) -> Result<Chosen> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let own = parts.map(|p| param(p).map_err(|e| anyhow::anyhow!("{text:?}: {e}")));
    let own: Vec<_> = own.collect::<Result<_>>()?;
    Chosen::new(name, &[common, &own].concat())
}
