//! Interrupted in the middle: nothing is left, and nothing has changed.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::names;

/// Ends a run by `signal` while it waits for more numbers, its output begun.
fn ended_by(signal: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("old"), "old").unwrap();
    let mut command = common::command(dir.path());
    let mut child =
        command.args(["apply", "relu", "-o", "old"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all("1 2 3\n".repeat(100_000).as_bytes()).unwrap();
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{signal} had no effect");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(!status.success(), "{signal}");
    assert_eq!(names(dir.path()), ["old"], "{signal}");
    assert_eq!(fs::read(dir.path().join("old")).unwrap(), b"old", "{signal}");
}

#[test]
fn nothing_is_left() {
    for signal in ["-INT", "-TERM", "-HUP", "-KILL"] {
        ended_by(signal);
    }
}

/// Files large enough that signals find the run at every stage, also at the renames.
#[test]
fn whole_or_not_at_all() {
    let n = 3 << 20;
    let dir = tempfile::tempdir().unwrap();
    common::save_f32(&dir.path().join("x.npy"), &[n], (0..n).map(|i| i as f32 - 1e6));
    let run = |delay: Option<u64>| {
        let start = Instant::now();
        let mut child = common::command(dir.path())
            .args(["apply", "bilinear", "x.npy", "x.npy", "--backward", "x.npy"])
            .args(["-o", "a.npy", "-o", "b.npy"])
            .spawn()
            .unwrap();
        if let Some(delay) = delay {
            std::thread::sleep(Duration::from_micros(delay));
            let id = child.id().to_string();
            assert!(Command::new("kill").arg(&id).status().is_ok());
        }
        (child.wait().unwrap(), start.elapsed())
    };
    let (status, whole) = run(None);
    assert!(status.success());
    let [a, b] = ["a.npy", "b.npy"].map(|n| fs::read(dir.path().join(n)).unwrap());
    let steps = 25;
    for step in 0..steps {
        for name in ["a.npy", "b.npy"] {
            let _ = fs::remove_file(dir.path().join(name));
        }
        let delay = whole.as_micros() as u64 * step / (steps - 2);
        run(Some(delay));
        match names(dir.path()).as_slice() {
            [x] => assert_eq!(x, "x.npy"),
            [x, y, z] => {
                assert_eq!([x, y, z], ["a.npy", "b.npy", "x.npy"]);
                assert!(fs::read(dir.path().join("a.npy")).unwrap() == a, "after {delay} us");
                assert!(fs::read(dir.path().join("b.npy")).unwrap() == b, "after {delay} us");
            }
            other => panic!("after {delay} us: {other:?}"),
        }
    }
}
