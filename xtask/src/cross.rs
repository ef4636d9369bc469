//! Compilers for other processors: what rustup has installed, else Debian's packages.
//!
//! Debian has no standard library for other processors, but a compiler of its own with its
//! source. Its packages are unpacked into the cache, not installed, and cargo compiles the
//! standard library for the target.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::system::{cache, cargo, command, find, output, run};

/// A way to compile for a target.
pub enum Compiler {
    /// The toolchain in use knows it.
    Installed,
    /// Debian's compiler, unpacked here.
    Debian(PathBuf),
}

impl Compiler {
    /// The compiler for a target, or what is missing.
    ///
    /// # Errors
    /// Packages that are there cannot be unpacked.
    pub fn find(target: &str) -> Result<std::result::Result<Compiler, String>> {
        let libraries =
            output(command("rustc").args(["--print=target-libdir", "--target", target]));
        if libraries.is_ok_and(|dir| Path::new(dir.trim()).is_dir()) {
            return Ok(Ok(Compiler::Installed));
        }
        let missing =
            format!("there is no compiler for {target} (`rustup target add {target}` installs it)");
        if find("apt-get").is_none() || find("dpkg").is_none() {
            return Ok(Err(missing));
        }
        Ok(debian()?.map(Compiler::Debian).map_err(|why| format!("{missing}; {why}")))
    }

    /// `cargo VERB` for the target. `libraries` are those of the standard ones that are used.
    ///
    /// # Errors
    /// An environment variable is no text.
    pub fn cargo(&self, verb: &str, target: &str, libraries: &str) -> Result<Command> {
        let mut cargo = cargo([verb, "--release", "--target", target]);
        if let Compiler::Debian(dir) = self {
            cargo.arg(format!("-Zbuild-std={libraries}"));
            cargo.envs(environment(dir)?);
        }
        Ok(cargo)
    }
}

/// What makes cargo use the unpacked compiler.
fn environment(dir: &Path) -> Result<Vec<(&'static str, std::ffi::OsString)>> {
    let own = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let old = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let paths = [dir.join(own)].into_iter().chain(std::env::split_paths(&old));
    Ok(vec![
        ("LD_LIBRARY_PATH", std::env::join_paths(paths)?),
        ("RUSTC", dir.join("usr/bin/rustc").into()),
        ("RUSTC_BOOTSTRAP", "1".into()), // -Zbuild-std
    ])
}

/// Debian's compiler with its source, unpacked.
fn debian() -> Result<std::result::Result<PathBuf, String>> {
    let dir = cache("debian-rust")?;
    let done = dir.join("done");
    if !done.exists() {
        let Some(packages) = packages()? else {
            return Ok(Err("apt-get knows no package rustc-web with its source".to_owned()));
        };
        let debs = cache("debian-rust/packages")?;
        if let Err(e) =
            run(command("apt-get").args(["download", "--quiet"]).args(&packages).current_dir(&debs))
        {
            return Ok(Err(format!("{e:#}")));
        }
        for entry in std::fs::read_dir(&debs).context("packages")? {
            run(command("dpkg").arg("-x").arg(entry?.path()).arg(&dir))?;
        }
        std::fs::remove_dir_all(&debs).context("packages")?;
        std::fs::write(&done, packages.join("\n")).context("done")?;
    }
    let mut version = command(dir.join("usr/bin/rustc"));
    match output(version.arg("--version").envs(environment(&dir)?)) {
        Ok(version) => println!("Debian's {}", version.trim()),
        Err(e) => return Ok(Err(format!("Debian's compiler does not start: {e:#}"))),
    }
    Ok(Ok(dir))
}

/// The compiler, its source, and those of its libraries that an ordinary machine lacks.
fn packages() -> Result<Option<Vec<String>>> {
    let mut all = vec!["rustc-web".to_owned(), "rust-web-src".to_owned()];
    let mut next = 0;
    while next < all.len() {
        let Ok(text) = output(command("apt-cache").args(["depends", &all[next]])) else {
            return Ok(None);
        };
        let depends = text.lines().filter_map(|l| l.trim().strip_prefix("Depends: "));
        for name in depends.map(str::trim) {
            let own = name.starts_with("libstd-rust-web") || name.starts_with("libllvm");
            if own && all.iter().all(|p| p != name) {
                all.push(name.to_owned());
            }
        }
        next += 1;
    }
    Ok(Some(all))
}
