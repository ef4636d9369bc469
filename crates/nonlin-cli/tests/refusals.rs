//! Bad input: one line, a status that is not 0, and files left as they were.

mod common;

use std::fs;
use std::path::Path;

use common::{bad, names, nonlin, save_f32};

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

/// A directory with some files, among them an old output.
fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save_f32(&dir.path().join("x.npy"), &[2, 6], (0..12).map(|i| i as f32));
    save_f32(&dir.path().join("odd.npy"), &[2, 3], (0..6).map(|i| i as f32));
    save_f32(&dir.path().join("scalar.npy"), &[], [1.0]);
    let mut short = fs::read(dir.path().join("x.npy")).unwrap();
    short.pop();
    fs::write(dir.path().join("short.npy"), short).unwrap();
    fs::write(dir.path().join("empty.npy"), "").unwrap();
    fs::write(dir.path().join("old"), "old").unwrap();
    dir
}

/// The line that `text` ends with; nothing has changed.
fn refused(dir: &Path, text: &str) -> String {
    let before = names(dir);
    let line = bad(dir, &words(text));
    assert_eq!(names(dir), before, "{text}");
    assert_eq!(fs::read(dir.join("old")).unwrap(), b"old", "{text}");
    line
}

#[test]
fn each_mistake_is_named() {
    let dir = workplace();
    for (text, part) in [
        ("apply gellu x.npy -o old", "did you mean `gelu`"),
        ("apply sparsemax x.npy -o old", "unknown function `sparsemax`, and no other"),
        ("apply eswish x.npy -o old", "unknown function `eswish`, and no other"),
        ("show nosuch", "unknown function `nosuch`, and no other"),
        ("verify swiglu --digests none.csv", "`swiglu` is gated; records are of elementwise"),
        ("verify gelu --points 99999999999999", "1073741824"),
        ("bench gellu", "did you mean `gelu`"),
        ("bench gelu --inputs gauss", "one of normal, uniform"),
        ("bench gelu --dtype f8", "one of f32"),
        ("bench softmax --size 512", "a row of 1024"),
        ("show gellu", "did you mean `gelu`"),
        ("plot gellu -o a.svg", "did you mean `gelu`"),
        ("apply elu x.npy -o old --param alpha=nan", "`alpha` of `elu` is NaN"),
        ("apply elu x.npy -o old --param alpha=x", "is not a number"),
        ("apply elu x.npy -o old --param alpha", "no '='"),
        ("apply elu x.npy -o old --param beta=1", "it has alpha"),
        ("apply gelu x.npy -o old --param alpha=1", "it has none"),
        ("apply softmax x.npy -o old --param scale=inf", "scale"),
        ("apply gelu none.npy -o old", "none.npy"),
        ("apply gelu short.npy -o old", "truncated"),
        ("apply gelu empty.npy -o old", "not a .npy file"),
        ("apply gelu . -o old", "directory"),
        ("apply gelu x.npy -o none/y.npy", "none does not exist"),
        ("apply gelu x.npy -o .", "directory"),
        ("apply gelu x.npy", "-o"),
        ("apply gelu x.npy -o old -o new", "one result"),
        ("apply gelu x.npy odd.npy -o old", "one input"),
        ("apply gelu x.npy -o old --axis 0", "--axis"),
        ("apply gelu x.npy -o old --split-axis 0", "--split-axis"),
        ("apply gelu x.npy -o old --backward odd.npy", "[2, 3]"),
        ("apply gelu x.npy -o old --backward x.npy --derivative", "cannot be used with"),
        ("apply gelu x.npy -o old --backward-from-output x.npy", "run backward from the input"),
        (
            "apply leaky_relu x.npy -o old --backward-from-output x.npy -p negative_slope=-1",
            "`negative_slope` of `leaky_relu` is -1",
        ),
        ("apply swiglu x.npy x.npy -o old --backward-from-output x.npy", "use --backward"),
        (
            "apply rrelu x.npy -o old --backward-from-output x.npy --train --seed 1",
            "use --backward",
        ),
        ("apply tanh x.npy -o old --backward-from-output odd.npy", "[2, 3]"),
        ("apply tanh x.npy -o old --backward-from-output x.npy --backward x.npy", "cannot be used"),
        ("apply tanh --backward-from-output x.npy", "as a file"),
        ("apply gelu x.npy -o old --derivative=a", "one derivative"),
        ("apply gelu x.npy -o old --level avx99", "avx99"),
        ("apply gelu x.npy -o old --threads 0", "1 to 1024"),
        ("apply gelu x.npy -o old --threads 99999", "1 to 1024"),
        ("apply gelu x.npy -o old --block 0", "0"),
        ("apply gelu x.npy -o old --frobnicate", "--frobnicate"),
        ("apply softmax x.npy -o old --axis 2", "between -2 and 1"),
        ("apply softmax x.npy -o old --axis -3", "between -2 and 1"),
        ("apply softmax scalar.npy -o old --axis 1", "axis 1 is out of range"),
        ("apply softmax x.npy -o old --derivative", "--backward"),
        ("apply swiglu x.npy -o old", "--split-axis"),
        ("apply swiglu x.npy odd.npy -o old", "[2, 3]"),
        ("apply swiglu x.npy x.npy -o old --split-axis 0", "--split-axis"),
        ("apply swiglu odd.npy -o old --split-axis 1", "even"),
        ("apply swiglu x.npy x.npy -o old --derivative", "--derivative=a"),
        ("apply swiglu x.npy x.npy -o old --derivative=c", "--derivative=a"),
        ("apply swiglu x.npy x.npy -o old --backward x.npy", "two outputs"),
        ("apply swiglu x.npy x.npy -o old -o old --backward x.npy", "twice"),
        (
            "apply swiglu x.npy --split-axis 1 -o old -o new -o newer --backward odd.npy",
            "3 outputs",
        ),
        ("plot gelu -o old", ".svg or .png"),
        ("plot gelu -o none/a.svg", "none does not exist"),
        ("plot gelu -o a.svg --range 1:1", "must be below"),
        ("plot gelu -o a.svg --range nan:1", "not a finite number"),
        ("plot gelu -o a.svg --range 1", "no ':'"),
        ("plot elu:alpha=nan -o a.svg", "NaN"),
        ("plot elu:alpha -o a.svg", "no '='"),
        ("plot gelu -o a.svg --range -1e307:1e307 --param x=1", "it has none"),
        ("frobnicate", "frobnicate"),
    ] {
        let line = refused(dir.path(), text);
        assert!(line.contains(part), "{text}: {line}");
    }
}

#[test]
fn read_only_files_stay() {
    let dir = workplace();
    let path = dir.path().join("old");
    let mut mode = fs::metadata(&path).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&path, mode).unwrap();
    assert!(refused(dir.path(), "apply gelu x.npy -o old").contains("read-only"));
}

#[cfg(target_os = "linux")]
#[test]
fn full_disks_are_errors() {
    use std::process::{Command, Stdio};
    let dir = workplace();
    let big = 1 << 20;
    save_f32(&dir.path().join("big.npy"), &[big], (0..big).map(|i| i as f32));
    let before = names(dir.path());
    // 1024 blocks of 1 KiB (dash) or 512 bytes: less than the 4 MiB of the output.
    let script = r#"ulimit -f 1024; exec "$0" apply relu big.npy -o old"#;
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_nonlin")])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let line = common::failure(&output, &["ulimit"]);
    assert!(line.contains("old") && line.contains("too large"), "{line}");
    assert_eq!(names(dir.path()), before);
    assert_eq!(fs::read(dir.path().join("old")).unwrap(), b"old");

    assert!(bad(dir.path(), &words("apply relu x.npy -o /dev/full")).contains("No space left"));
    for text in ["list", "list --json", "apply relu x.npy -o -"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = common::command(dir.path()).args(words(text)).stdout(full).output().unwrap();
        let line = common::failure(&output, &[text]);
        assert!(line.contains("No space left"), "{line}");
    }
}

/// A reader that has enough is no reason for a message.
#[cfg(unix)]
#[test]
fn closed_pipes_end_quietly() {
    use std::process::Stdio;
    let dir = workplace();
    let mut child = common::command(dir.path());
    let mut child =
        child.arg("list").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Numbers that follow from a seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

/// Damaged headers: an error in one line, or a result; never a crash.
#[test]
fn damaged_files_are_refused_or_read() {
    let dir = workplace();
    let npy = fs::read(dir.path().join("x.npy")).unwrap();
    use nonlin_cli::array::DType;
    use nonlin_cli::tensors::Item;
    let header = nonlin_cli::tensors::header(
        &[Item::new("a", DType::F32, &[2, 3]).unwrap(), Item::new("b", DType::Bf16, &[4]).unwrap()],
        None,
    );
    let mut tensors = header.unwrap();
    tensors.extend([1; 32]);
    let pieces: [&[u8]; 14] = [
        b"-1",
        b"99999999999999999999",
        b"(",
        b"{",
        b"'",
        b"\"",
        b"True",
        b",",
        b"[",
        b"<c8",
        b"|O",
        b"\xff\xfe",
        b"18446744073709551615",
        b"\0",
    ];
    let mut random = Random(1);
    for round in 0..400 {
        let (name, good) =
            if round % 2 == 0 { ("m.npy", &npy) } else { ("m.safetensors", &tensors) };
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().min(160));
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.splice(at..at, pieces[random.below(pieces.len())].iter().copied())),
                _ => {
                    let piece = pieces[random.below(pieces.len())];
                    let end = bytes.len().min(at + piece.len());
                    bytes.splice(at..end, piece.iter().copied());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        fs::write(dir.path().join(name), &bytes).unwrap();
        let call = format!("apply relu {name} -o out-{name}");
        let output = nonlin(dir.path(), &words(&call));
        if !output.status.success() {
            common::failure(&output, &[&call, &format!("round {round}")]);
        }
    }
}
