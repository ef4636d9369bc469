//! The stage that tests the Python package's face to PyTorch, in a virtual environment of its own:
//! PyTorch takes 3 GB and minutes to install, and is kept from one run to the next.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::stage::Outcome;
use crate::system::{cache, command, find, root, run};

const REQUIREMENTS: &str = "python/requirements-torch.txt";

/// Builds the package into the environment, and runs its tests and examples.
pub fn stage() -> Result<Outcome> {
    let dir = match environment()? {
        Ok(dir) => dir,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let python = dir.join("bin/python");
    let mut build = command(dir.join("bin/maturin"));
    build.args(["develop", "--release", "--manifest-path", "python/Cargo.toml"]);
    run(build.env("VIRTUAL_ENV", &dir).env_remove("CONDA_PREFIX"))?;
    let tests = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "python/tests/torch"];
    run(command(&python).args(tests))?;
    let examples = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--doctest-modules"];
    run(command(&python).args(examples).arg("python/nonlin/torch"))?;
    Ok(Outcome::Passed { note: "operators, models, examples".to_owned(), left_out: Vec::new() })
}

/// A virtual environment with PyTorch, or why there is none.
fn environment() -> Result<std::result::Result<PathBuf, String>> {
    if !cfg!(unix) {
        return Ok(Err("nonlin.torch runs on Linux and macOS".to_owned()));
    }
    let dir = cache("venv-torch")?;
    let wanted = std::fs::read_to_string(root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let done = dir.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|d| d == wanted) {
        return Ok(Ok(dir));
    }
    if find("python3").is_none() {
        return Ok(Err("there is no python3".to_owned()));
    }
    let made = run(command("python3").args(["-m", "venv", "--clear"]).arg(&dir)).and_then(|()| {
        let mut pip = command(dir.join("bin/python"));
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]);
        run(pip.args(["-r", REQUIREMENTS]))
    });
    if let Err(e) = made {
        return Ok(Err(format!("PyTorch cannot be installed: {e:#}")));
    }
    std::fs::write(&done, wanted).context("venv-torch")?;
    Ok(Ok(dir))
}
