//! The stage that tests the Python package's face to PyTorch, in a virtual environment of its own:
//! PyTorch takes 3 GB and minutes to install, and is kept from one run to the next.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::python::{pip, wheel};
use crate::stage::Outcome;
use crate::system::{cache, command, find, root, run};

const REQUIREMENTS: &str = "python/requirements-torch.txt";
const NAME: &str = "venv-torch";

/// Installs the package into the environment, and runs its tests and examples.
pub fn stage() -> Result<Outcome> {
    let python = match environment()? {
        Ok(python) => python,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let wheel = wheel(&python)?;
    run(pip(&python).args(["install", "--no-deps", "--force-reinstall"]).arg(wheel))?;
    let report = cache(NAME)?.join("tests.xml");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tests = command(&python);
    tests.args(["-m", "pytest", "--quiet", "-rs", "-p", "no:cacheprovider", "--dist", "worksteal"]);
    tests.args(["-n", &cores.to_string(), "--pyargs", "--doctest-modules"]);
    tests.arg("--junitxml").arg(&report);
    run(tests.args(["python/tests/torch", "nonlin.torch"]))?;
    Ok(Outcome::Passed { note: counts(&report)?, left_out: Vec::new() })
}

/// How many tests there were, and how many of them were skipped: pytest has printed why.
fn counts(report: &Path) -> Result<String> {
    let text = std::fs::read_to_string(report).context("tests.xml")?;
    let number = |name: &str| {
        let (_, rest) = text.split_once(&format!(" {name}=\""))?;
        rest.split('"').next()
    };
    let tests = number("tests").context("tests.xml has no number of tests")?;
    let skipped = number("skipped").context("tests.xml has no number of skipped tests")?;
    Ok(format!("{tests} tests, {skipped} of them skipped"))
}

/// The Python of a virtual environment with PyTorch, or why there is none.
fn environment() -> Result<std::result::Result<PathBuf, String>> {
    if !cfg!(unix) {
        return Ok(Err("nonlin.torch runs on Linux and macOS".to_owned()));
    }
    let dir = cache(NAME)?;
    let python = dir.join("bin/python");
    let wanted = std::fs::read_to_string(root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let done = dir.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|d| d == wanted) {
        return Ok(Ok(python));
    }
    if find("python3").is_none() {
        return Ok(Err("there is no python3".to_owned()));
    }
    let made = run(command("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        // Most of what is installed is never imported.
        .and_then(|()| run(pip(&python).args(["install", "--no-compile", "-r", REQUIREMENTS])));
    if let Err(e) = made {
        return Ok(Err(format!("PyTorch cannot be installed: {e:#}")));
    }
    std::fs::write(&done, wanted).context(NAME)?;
    Ok(Ok(python))
}
