//! Files that appear whole or not at all.
//!
//! On Linux the file has no name until it is complete (`O_TMPFILE`), so that even `kill -9`
//! leaves nothing. Where that is not to be had, it is a hidden file in the same directory,
//! removed on errors and at Ctrl-C, SIGTERM and SIGHUP. [`commit`] then renames over the
//! destination. What is not a regular file (`/dev/stdout`, a pipe) is written as it comes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use tempfile::{NamedTempFile, TempPath};

const PREFIX: &str = ".nonlin-";
/// The exit status after a signal, 128 + SIGINT as shells count.
const INTERRUPTED: i32 = 130;

/// A file in the making. Dropped without [`commit`], it leaves no trace.
#[derive(Debug)]
pub struct Output {
    /// As the user wrote it, for messages.
    name: PathBuf,
    /// Where it will be, links followed.
    target: PathBuf,
    file: Backing,
}

#[derive(Debug)]
enum Backing {
    /// Without a name.
    #[cfg(target_os = "linux")]
    Anonymous(File),
    /// Hidden, next to the target.
    Hidden(NamedTempFile),
    /// A device or pipe.
    Direct(File),
    /// Without a name for as long as it is there.
    Scratch(File),
    /// Standard output.
    Stdout,
}

impl Output {
    /// Begins a file that will replace or become `path`. `size` is reserved on the disk, so
    /// that one too small is an error now; 0 if unknown.
    ///
    /// # Errors
    ///
    /// The directory is missing or not writable, `path` is a directory or read-only, or the
    /// disk is too small.
    pub fn create(path: &Path, size: u64) -> Result<Self> {
        if path == Path::new("-") {
            let name = PathBuf::from("standard output");
            return Ok(Output { target: name.clone(), name, file: Backing::Stdout });
        }
        Self::create_as(path, size, true)
    }

    /// A file without a name in `directory`, to be read back.
    ///
    /// # Errors
    ///
    /// The directory is missing or not writable.
    pub fn scratch(directory: &Path) -> Result<Self> {
        let name = directory.to_owned();
        let file = tempfile::tempfile_in(directory)
            .with_context(|| format!("{}: no temporary file", name.display()))?;
        Ok(Output { target: name.clone(), name, file: Backing::Scratch(file) })
    }

    /// Where there is room for parts of it: beside it, if it is a file.
    #[must_use]
    pub fn scratch_directory(&self) -> PathBuf {
        if self.seeks() { directory(&self.target).to_owned() } else { std::env::temp_dir() }
    }

    /// The file of [`Output::scratch`] from its beginning, and its length.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read_back(self) -> Result<(File, u64)> {
        let Backing::Scratch(mut file) = self.file else {
            bail!("{}: not a temporary file", self.name.display());
        };
        let length = file.seek(SeekFrom::End(0));
        let length = length.and_then(|n| file.rewind().map(|()| n));
        Ok((file, length.with_context(|| self.name.display().to_string())?))
    }

    fn create_as(path: &Path, size: u64, anonymous: bool) -> Result<Self> {
        let name = path.to_owned();
        let target = path.canonicalize().unwrap_or_else(|_| name.clone());
        let existing = fs::metadata(&target).ok();
        if let Some(meta) = &existing {
            ensure!(!meta.is_dir(), "{}: is a directory", name.display());
            if !meta.is_file() {
                let file = File::options().write(true).open(&target);
                let file = Backing::Direct(file.with_context(|| name.display().to_string())?);
                return Ok(Output { name, target, file });
            }
            ensure!(!meta.permissions().readonly(), "{}: is read-only", name.display());
        }
        ensure!(target.file_name().is_some(), "{}: is not a file's name", name.display());
        let directory = directory(&target);
        ensure!(
            directory.is_dir(),
            "{}: the directory {} does not exist",
            name.display(),
            directory.display()
        );
        watch_signals();
        let file = open(directory, anonymous)
            .with_context(|| format!("{}: cannot write in its directory", name.display()))?;
        let output = Output { name, target, file };
        if let Some(meta) = existing {
            let kept = output.file.apply(|file| file.set_permissions(meta.permissions()));
            kept.with_context(|| output.name.display().to_string())?;
        }
        output.file.apply(|file| reserve(file, size)).with_context(|| {
            format!("{}: no room for {size} bytes, nothing written", output.name.display())
        })?;
        Ok(output)
    }

    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.file {
            Backing::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            file => file.apply(|mut file| file.write_all(bytes)),
        };
        self.explain(written)
    }

    /// Writes `bytes` from the byte `at` on, and appends behind them from now on. Only where
    /// [`Output::seeks`].
    pub fn put_at(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let sought = self.file.apply(|mut file| file.seek(SeekFrom::Start(at)));
        self.explain(sought.map(drop))?;
        self.put(bytes)
    }

    /// Whether it is a file, not a pipe or device.
    #[must_use]
    pub fn seeks(&self) -> bool {
        !matches!(self.file, Backing::Direct(_) | Backing::Stdout)
    }

    fn explain(&self, written: io::Result<()>) -> Result<()> {
        written.with_context(|| match self.seeks() {
            true => format!("{}: not written", self.name.display()),
            false => self.name.display().to_string(),
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.file {
            Backing::Stdout => io::stdout().write(bytes),
            file => file.apply(|mut file| file.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Backing::Stdout = self.file { io::stdout().flush() } else { Ok(()) }
    }
}

impl Seek for Output {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.apply(|mut file| file.seek(to))
    }
}

/// Writes `bytes` as the file `path`, whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path, bytes.len() as u64)?;
    output.put(bytes)?;
    commit(vec![output])
}

/// Makes the files appear, all of them or none: should one rename fail, those before it are
/// taken back.
pub fn commit(mut outputs: Vec<Output>) -> Result<()> {
    outputs.retain(Output::seeks);
    for (i, output) in outputs.iter().enumerate() {
        let twice = outputs[..i].iter().any(|o| o.target == output.target);
        ensure!(!twice, "{}: named twice as an output", output.name.display());
        let synced = output.file.apply(File::sync_all);
        synced.with_context(|| format!("{}: not written", output.name.display()))?;
    }
    // A signal waits until the names are in place.
    let _names = hidden();
    let several = outputs.len() > 1;
    let mut done: Vec<(PathBuf, Option<TempPath>)> = Vec::new();
    for output in outputs {
        let Output { name, target, file } = output;
        match place(file, &target, several) {
            Ok(backup) => done.push((target, backup)),
            Err(e) => {
                for (target, backup) in done.into_iter().rev() {
                    let _ = match backup {
                        Some(old) => old.persist(&target).map_err(io::Error::from),
                        None => fs::remove_file(&target),
                    };
                }
                return Err(e).with_context(|| format!("{}: not written", name.display()));
            }
        }
    }
    #[cfg(unix)]
    for (target, _) in &done {
        // The names survive a power cut; not every file system can promise that.
        let _ = File::open(directory(target)).and_then(|d| d.sync_all());
    }
    Ok(())
}

/// Renames the complete file to `target`. With `backup`, what was there before is kept under
/// a hidden name.
fn place(file: Backing, target: &Path, backup: bool) -> io::Result<Option<TempPath>> {
    let complete = match file {
        Backing::Direct(_) | Backing::Scratch(_) | Backing::Stdout => return Ok(None),
        Backing::Hidden(hidden) => hidden.into_temp_path(),
        #[cfg(target_os = "linux")]
        Backing::Anonymous(file) => {
            use rustix::fs::{AtFlags, CWD, linkat};
            use std::os::fd::AsRawFd;
            let source = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            in_free_name(directory(target), |hidden| {
                Ok(linkat(CWD, &source, CWD, hidden, AtFlags::SYMLINK_FOLLOW)?)
            })?
        }
    };
    let old = if backup && target.exists() {
        Some(in_free_name(directory(target), |hidden| fs::hard_link(target, hidden))?)
    } else {
        None
    };
    complete.persist(target)?;
    Ok(old)
}

/// Calls `make` with hidden names until one is free.
fn in_free_name(directory: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<TempPath> {
    let made = tempfile::Builder::new().prefix(PREFIX).make_in(directory, |path| make(path));
    made.map(NamedTempFile::into_temp_path)
}

impl Backing {
    /// Calls `f` with the file, if it is one.
    fn apply<T: Default>(&self, f: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match self {
            #[cfg(target_os = "linux")]
            Backing::Anonymous(file) => f(file),
            Backing::Hidden(hidden) => f(hidden.as_file()),
            Backing::Direct(file) | Backing::Scratch(file) => f(file),
            Backing::Stdout => Ok(T::default()),
        }
    }
}

fn open(directory: &Path, anonymous: bool) -> io::Result<Backing> {
    #[cfg(target_os = "linux")]
    if anonymous && Path::new("/proc/self/fd").is_dir() {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        // What the file system does not support, it reports in many ways.
        if let Ok(file) = open(directory, flags, Mode::from_raw_mode(0o666)) {
            return Ok(Backing::Anonymous(file.into()));
        }
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        // What an ordinary new file gets; the umask applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut names = hidden();
    let file = builder.tempfile_in(directory)?;
    names.push(file.path().to_owned());
    let _ = anonymous;
    Ok(Backing::Hidden(file))
}

/// Reserves room, where the file system can.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if size > 0 {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
            Err(e @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) => return Err(e.into()),
            _ => return Ok(()),
        }
    }
    let _ = (file, size);
    Ok(())
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

/// Hidden files that a signal removes; those that are gone do not matter.
fn hidden() -> MutexGuard<'static, Vec<PathBuf>> {
    static HIDDEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program at Ctrl-C, SIGTERM and SIGHUP without leaving hidden files. A signal that
/// whoever started the program had it ignore (`nohup`) stays ignored.
fn watch_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = ctrlc::try_set_handler(|| {
            for path in hidden().iter() {
                let _ = fs::remove_file(path);
            }
            std::process::exit(INTERRUPTED);
        });
        // A file over the limit of the shell (`ulimit -f`) is an error of its write.
        #[cfg(unix)]
        {
            let flag = std::sync::Arc::default();
            let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_only_when_committed() {
        for anonymous in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out.npy");
            fs::write(&path, "old").unwrap();
            for keep in [false, true] {
                let mut output = Output::create_as(&path, 9, anonymous).unwrap();
                output.put(b"new").unwrap();
                output.put(b" text").unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"old");
                if keep {
                    commit(vec![output]).unwrap();
                    assert_eq!(fs::read(&path).unwrap(), b"new text");
                }
            }
            assert_eq!(names(dir.path()), ["out.npy"]);
        }
    }

    #[test]
    fn places_are_written_in_any_order() {
        for anonymous in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out");
            let mut output = Output::create_as(&path, 6, anonymous).unwrap();
            assert!(output.seeks());
            output.put(b"h").unwrap();
            output.put_at(4, b"cd").unwrap();
            output.put_at(1, b"12").unwrap();
            output.put(b"3").unwrap();
            commit(vec![output]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"h123cd");
        }
    }

    #[test]
    fn both_or_none() {
        for anonymous in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let [a, b, c] = ["a", "b", "c"].map(|n| dir.path().join(n));
            fs::write(&a, "old").unwrap();
            let make = |path| {
                let mut output = Output::create_as(path, 0, anonymous).unwrap();
                output.put(b"new").unwrap();
                output
            };
            let outputs = vec![make(&a), make(&c), make(&b)];
            fs::create_dir(&b).unwrap();
            assert!(commit(outputs).unwrap_err().to_string().contains("not written"));
            assert_eq!(fs::read(&a).unwrap(), b"old");
            assert_eq!(names(dir.path()), ["a", "b"]);

            commit(vec![make(&a), make(&c)]).unwrap();
            assert_eq!(fs::read(&a).unwrap(), b"new");
            assert_eq!(names(dir.path()), ["a", "b", "c"]);
            assert!(commit(vec![make(&a), make(&a)]).unwrap_err().to_string().contains("twice"));
        }
    }

    #[test]
    fn errors_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path, size| format!("{:#}", Output::create(path, size).unwrap_err());
        assert!(error(&dir.path().join("none/out.npy"), 0).contains("none does not exist"));
        assert!(error(dir.path(), 0).contains("is a directory"));
        assert!(error(Path::new(""), 0).contains("not a file's name"));
        let fixed = dir.path().join("fixed");
        fs::write(&fixed, "old").unwrap();
        let mut mode = fs::metadata(&fixed).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(&fixed, mode).unwrap();
        assert!(error(&fixed, 0).contains("read-only"));
        if cfg!(target_os = "linux") {
            assert!(error(&dir.path().join("huge"), 1 << 60).contains("no room for"));
        }
        assert_eq!(names(dir.path()), ["fixed"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_modes_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let [real, link] = ["real", "link"].map(|n| dir.path().join(n));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real", &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_an_error() {
        let error = write(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
    }
}
