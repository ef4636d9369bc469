//! `nonlin export`.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nonlin::{Error, Formula};

use crate::args::Export;
use crate::catalog;
use crate::chosen::Chosen;
use crate::output;

/// What a formula is called unless the user says.
const UNNAMED: &str = "activation";

/// Writes the function in another language.
pub fn run(args: &Export) -> Result<()> {
    let params = &args.params.params;
    let mine = catalog::formula(&args.function);
    let text = mine.unwrap_or(&args.function);
    let chosen = Chosen::new(&args.function, params)?;
    let name = chosen.meta().name;
    let own = match &chosen {
        _ if mine.is_some() => &args.function,
        Chosen::Rows(_) => bail!(
            "`{name}` works on rows; export writes elementwise and gated functions, and frameworks have \
             `{name}` themselves"
        ),
        _ if nonlin::get(name).is_ok() || nonlin::gated(name).is_ok() => name,
        _ => UNNAMED,
    };
    let with = |f: Formula| params.iter().try_fold(f, |f, (name, v)| f.with(name, *v));
    let formula = match &chosen {
        Chosen::Elementwise(f) if nonlin::get(text).is_ok() => f.formula()?,
        Chosen::Gated(f) if nonlin::gated(text).is_ok() => f.formula()?,
        // As it was written, so that it keeps the names of its parameters.
        _ => with(Formula::parse(text).map_err(Error::from)?)?,
    };
    let bytes = formula.export(args.to, args.name.as_deref().unwrap_or(own))?;
    let standard = args.output.as_deref().is_none_or(|path| path == Path::new("-"));
    if let (false, Some(path)) = (standard, &args.output) {
        return output::write(path, &bytes);
    }
    let mut out = std::io::stdout().lock();
    if !args.to.is_text() && out.is_terminal() {
        bail!("a model of `{}` is not text for a terminal; name a file with -o", args.to);
    }
    out.write_all(&bytes).and_then(|()| out.flush()).context("standard output")
}
