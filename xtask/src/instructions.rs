//! `cargo xtask instructions`: how many instructions the main kernels take, against a record.
//!
//! Times depend on what else a machine does, counts of instructions on the compiler only. Two
//! are kept for each kernel of f32:
//!
//! * AVX2: instructions executed, per element, of one call over 16,384 elements, counted by
//!   valgrind's callgrind, which emulates a processor with AVX2 and without AVX-512. The call's
//!   own overhead is in it, and so is every way that inputs between -6 and 6 take.
//! * AVX-512, which valgrind does not know: instructions of the innermost loop, per element,
//!   from the disassembly: from the head of the loop to the first jump back to it. What the
//!   compiler has laid behind that jump, such as the rare way of `Within`, is left out. Softmax
//!   passes over a row several times, with and without mask: there all instructions of all
//!   innermost loops are added up, not per element.
//!
//! The program is `count` of the test kit. `.cargo/config.toml` chooses the mangling of symbols that
//! tells which definition a kernel was compiled for.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::system::{cache, command, find, output, program, root};

/// What is accepted.
const RECORD: &str = "proof/instructions.csv";
const HEADER: &str = "function,direction,avx2,avx512";
/// The share by which a count may be above the record.
const TOLERANCE: f64 = 0.03;
/// How the record is renewed.
const ACCEPT: &str = "cargo xtask instructions --accept";
/// A function of `count` that is called before and after each kernel.
const BOUNDARY: &str = "boundary_of_a_count";

/// The counts of one kernel.
#[derive(Clone, Debug, PartialEq)]
struct Count {
    function: String,
    direction: String,
    avx2: f64,
    avx512: f64,
}

/// The tools that are missing, if any.
pub fn missing() -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("valgrind and the disassembly are read on x86-64 Linux only".to_owned());
    }
    let tools = [("valgrind", "valgrind"), ("objdump", "binutils")];
    let (tool, package) = tools.into_iter().find(|(tool, _)| find(tool).is_none())?;
    Some(format!("there is no {tool} (Debian package {package})"))
}

/// Counts and compares; with `--accept`, writes the record instead.
///
/// # Errors
/// A tool is missing, a kernel is not found, or a count is above the record.
pub fn main(args: &[&str]) -> Result<()> {
    if !matches!(args, [] | ["--accept"]) {
        bail!("unknown option `{}`; {ACCEPT}", args.join(" "));
    }
    if let Some(why) = missing() {
        bail!(why);
    }
    let now = count()?;
    print!("{}", write(&now));
    if args == ["--accept"] {
        let path = root().join(RECORD);
        std::fs::write(path, write(&now)).context(RECORD)?;
        println!("{RECORD}: written");
        return Ok(());
    }
    println!("{}", compare(&recorded()?, &now)?);
    Ok(())
}

/// Counts, and compares with the record; returns a word about it.
///
/// # Errors
/// As [`main`].
pub fn check() -> Result<String> {
    compare(&recorded()?, &count()?)
}

fn recorded() -> Result<Vec<Count>> {
    let text = std::fs::read_to_string(root().join(RECORD))
        .with_context(|| format!("{RECORD}; `{ACCEPT}` writes it"))?;
    read(&text)
}

fn read(text: &str) -> Result<Vec<Count>> {
    let lines = text.lines().filter(|l| *l != HEADER && !l.is_empty());
    lines
        .map(|line| match line.split(',').collect::<Vec<_>>()[..] {
            [function, direction, avx2, avx512] => Ok(Count {
                function: function.to_owned(),
                direction: direction.to_owned(),
                avx2: avx2.parse().with_context(|| line.to_owned())?,
                avx512: avx512.parse().with_context(|| line.to_owned())?,
            }),
            _ => bail!("{RECORD}: `{line}` is not a line of {HEADER}"),
        })
        .collect()
}

fn write(counts: &[Count]) -> String {
    counts.iter().fold(format!("{HEADER}\n"), |mut text, c| {
        let _ = writeln!(text, "{},{},{:.4},{:.4}", c.function, c.direction, c.avx2, c.avx512);
        text
    })
}

/// Fails if a count is above the record by more than the tolerance, or has none.
fn compare(record: &[Count], now: &[Count]) -> Result<String> {
    let (mut above, mut below) = (Vec::new(), 0);
    for c in now {
        let name = format!("{} {}", c.function, c.direction);
        let same = |r: &&Count| r.function == c.function && r.direction == c.direction;
        let Some(r) = record.iter().find(same) else {
            above.push(format!(
                "{name}: {:.4} at avx2, {:.4} at avx512, no record",
                c.avx2, c.avx512
            ));
            continue;
        };
        for (level, old, new) in [("avx2", r.avx2, c.avx2), ("avx512", r.avx512, c.avx512)] {
            if new > old * (1.0 + TOLERANCE) {
                let percent = 100.0 * (new / old - 1.0);
                above.push(format!("{name} {level}: {old:.4} became {new:.4} (+{percent:.1} %)"));
            }
            below += usize::from(new < old * (1.0 - TOLERANCE));
        }
    }
    if !above.is_empty() {
        bail!(
            "{} counts of instructions are above {RECORD} by more than {} %; if they have to be, \
             `{ACCEPT}`:\n{}",
            above.len(),
            100.0 * TOLERANCE,
            above.join("\n")
        );
    }
    let better = match below {
        0 => String::new(),
        n => {
            format!("; {n} are better by more than {} %: `{ACCEPT}` keeps it so", 100.0 * TOLERANCE)
        }
    };
    Ok(format!("{} kernels at 2 levels{better}", now.len()))
}

fn count() -> Result<Vec<Count>> {
    let program = program("count")?;
    let calls = output(command(&program).arg("--list"))?;
    let calls: Vec<(&str, &str, f64)> = calls
        .lines()
        .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [name, direction, n] => Ok((name, direction, n.parse()?)),
            _ => bail!("count --list: `{line}`"),
        })
        .collect::<Result<_>>()?;
    let executed = executed(&program)?;
    if executed.len() != calls.len() {
        bail!("callgrind has counted {} calls, of {}", executed.len(), calls.len());
    }
    let text = output(
        command("objdump").args(["-d", "--no-show-raw-insn", "--demangle=rust"]).arg(&program),
    )?;
    let mut counts = Vec::new();
    for ((function, direction, n), executed) in calls.into_iter().zip(executed) {
        counts.push(Count {
            function: function.to_owned(),
            direction: direction.to_owned(),
            avx2: executed as f64 / n,
            avx512: in_loops(&text, function, direction)?,
        });
    }
    Ok(counts)
}

/// Instructions between each pair of boundaries, counted by callgrind at the level AVX2.
fn executed(program: &Path) -> Result<Vec<u64>> {
    let file = cache("instructions")?.join("callgrind.out");
    let mut valgrind = command("valgrind");
    valgrind.args(["--tool=callgrind", "--combine-dumps=yes"]);
    valgrind.arg(format!("--dump-before=*{BOUNDARY}*"));
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    output(valgrind.arg(program).arg("avx2"))?;
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    every_second(&text)
}

/// The totals of the parts 2, 4, 6 and so on of a profile: those that end at a boundary and
/// begin at one. The last part of all is the program's end.
fn every_second(profile: &str) -> Result<Vec<u64>> {
    let totals = profile.lines().filter_map(|l| l.strip_prefix("totals: "));
    let totals: Vec<u64> =
        totals.map(|t| t.trim().parse().context("totals")).collect::<Result<_>>()?;
    if totals.len().is_multiple_of(2) {
        bail!("callgrind has written {} parts, which is not an odd number", totals.len());
    }
    Ok(totals.into_iter().skip(1).step_by(2).collect())
}

/// One line of a disassembly.
#[derive(Debug)]
struct Instruction<'a> {
    address: u64,
    mnemonic: &'a str,
    operands: &'a str,
}

impl Instruction<'_> {
    /// Where a jump leads.
    fn target(&self) -> Option<u64> {
        if !self.mnemonic.starts_with('j') {
            return None;
        }
        u64::from_str_radix(self.operands.split_whitespace().next()?, 16).ok()
    }

    fn is_wide(&self) -> bool {
        self.operands.contains("%zmm")
    }

    /// Bytes that a register writes to an array; spills to the stack do not count.
    fn stores(&self) -> u64 {
        let moves = ["vmov", "vextract"].iter().any(|m| self.mnemonic.starts_with(m));
        let memory = self
            .operands
            .split(" {")
            .next()
            .is_some_and(|o| o.contains("),") || o.ends_with(')') || o.contains("){"));
        let last = self.operands.rsplit_once(",%").is_none_or(|(_, last)| last.contains(')'));
        if !moves || !memory || !last || self.operands.contains("(%rsp") {
            return 0;
        }
        let half = self.mnemonic.contains("x4") || self.mnemonic.contains("x8");
        match () {
            () if self.operands.contains("%zmm") => 64 / if half { 2 } else { 1 },
            () if self.operands.contains("%ymm") => 32,
            () if self.operands.contains("%xmm") => 16,
            () => 0,
        }
    }
}

/// The functions of a disassembly whose name starts with `name`, as their instructions.
fn functions<'a>(text: &'a str, name: &str) -> Vec<Vec<Instruction<'a>>> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_suffix(">:") {
            inside = rest.split_once(" <").is_some_and(|(_, n)| n == name);
            if inside {
                all.push(Vec::new());
            }
        } else if inside && let Some((address, code)) = line.split_once(":\t") {
            let Ok(address) = u64::from_str_radix(address.trim(), 16) else { continue };
            let code = code.trim_start_matches("data16 ").trim();
            let (mnemonic, operands) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
            let operands = operands.trim();
            if let Some(function) = all.last_mut() {
                function.push(Instruction { address, mnemonic, operands });
            }
        }
    }
    all
}

/// A loop: where it is in its function, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loop {
    first: usize,
    last: usize,
}

/// The innermost loops, each up to the first jump back to its head.
fn innermost(code: &[Instruction<'_>]) -> Vec<Loop> {
    let mut loops: Vec<Loop> = Vec::new();
    for (last, jump) in code.iter().enumerate() {
        let Some(target) = jump.target().filter(|t| *t <= jump.address) else { continue };
        let Ok(first) = code.binary_search_by_key(&target, |i| i.address) else { continue };
        if loops.iter().all(|l| l.first != first) {
            loops.push(Loop { first, last });
        }
    }
    let holds = |a: &Loop, b: &Loop| a != b && a.first <= b.first && b.last <= a.last;
    loops.iter().filter(|l| !loops.iter().any(|other| holds(l, other))).copied().collect()
}

/// Instructions of the AVX-512 loop of a kernel: per element, of softmax all together.
fn in_loops(text: &str, function: &str, direction: &str) -> Result<f64> {
    let gated = function.ends_with("glu");
    let (symbol, outputs) = match (function, direction, gated) {
        ("softmax", "forward", _) => {
            ("nonlin::rows::kernels::row_kernel::run::<f32>".to_owned(), 1)
        }
        ("softmax", ..) => ("nonlin::rows::kernels::back_kernel::run::<f32>".to_owned(), 1),
        (_, "forward", false) => (kernel("elementwise::map_32", function), 1),
        (.., false) => (kernel("elementwise::back_32", function), 1),
        (_, "forward", true) => (kernel("gated::gated_map_32", function), 1),
        (.., true) => (kernel("gated::gated_back_32", function), 2),
    };
    // The one of the levels that has registers of 512 bits.
    let found = functions(text, &symbol);
    let wide = found.iter().find(|code| code.iter().any(Instruction::is_wide));
    if wide.is_none() && function == "leaky_relu" {
        // Both compute alike with their parameter, so the compiler may keep the code of one.
        return in_loops(text, "prelu", direction);
    }
    let code = wide.with_context(|| format!("no {symbol} with registers of 512 bits"))?;
    let loops = innermost(code);
    let of = |l: &Loop| &code[l.first..=l.last];
    let wide = loops.iter().map(of).filter(|code| code.iter().any(Instruction::is_wide));
    if function == "softmax" {
        return Ok(wide.map(<[_]>::len).sum::<usize>() as f64);
    }
    // The loop that takes most elements at a time is the one that long arrays spend their time in;
    // of several, the longer ones are rare ways that jump back into it.
    let elements = |code: &[Instruction<'_>]| {
        code.iter().map(Instruction::stores).sum::<u64>() / (size_of::<f32>() as u64 * outputs)
    };
    let main = wide.max_by_key(|code| (elements(code), Reverse(code.len())));
    match main.map(|code| (code.len(), elements(code))) {
        Some((length, elements @ 1..)) => Ok(length as f64 / elements as f64),
        _ => bail!("{symbol}: no loop that stores registers of 512 bits"),
    }
}

/// `nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>`: all main kernels are of functions
/// that the registry has a line for.
fn kernel(shape: &str, function: &str) -> String {
    let words = function.split('_').map(|w| w[..1].to_uppercase() + &w[1..]);
    let definition: String = words.collect();
    format!("nonlin::kernel::{shape}::run::<nonlin::tuned::registry::{definition}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel as the compiler lays it out: an outer loop, an inner one, a rare way behind it
    /// that jumps back too, and a spill.
    const CODE: &str = "\
0000000000001000 <other>:
    1000:\tret

0000000000075ed0 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>>:
   75ed0:\tvmovups (%rdi),%ymm0
   75ed4:\tret

0000000000075f00 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>>:
   75f00:\tvmovups %zmm10,0x50(%rsp)
   75f08:\txor    %esi,%esi
   75f10:\tvmovups (%rdi,%rsi,4),%zmm1
   75f18:\tvmulps %zmm1,%zmm1,%zmm0
   75f20:\tvmovups %zmm0,0x10(%rsp)
   75f28:\tjne    75f50 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>+0x50>
   75f30:\tvmovups %zmm0,(%rcx,%rsi,4)
   75f38:\tadd    $0x10,%rsi
   75f40:\tjb     75f10 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>+0x10>
   75f48:\tjmp    75f68 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>+0x68>
   75f50:\tvmovups %zmm0,(%rcx,%rsi,4)
   75f58:\tvmovups %zmm0,(%rcx,%rsi,4)
   75f60:\tjb     75f10 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>+0x10>
   75f68:\tjne    75f08 <nonlin::kernel::elementwise::map_32::run::<nonlin::tuned::registry::GeluTanh>+0x8>
   75f70:\tret
";

    #[test]
    fn loops_are_found() {
        // Seven instructions, sixteen elements.
        assert_eq!(in_loops(CODE, "gelu_tanh", "forward").unwrap(), 7.0 / 16.0);
        let error = in_loops(CODE, "gelu_tanh", "backward").unwrap_err().to_string();
        assert!(error.contains("back_32") && error.contains("GeluTanh"), "{error}");
        let code = functions(CODE, &kernel("elementwise::map_32", "gelu_tanh"));
        assert_eq!((code.len(), code[0].len(), code[1].len()), (2, 2, 15));
        assert_eq!(innermost(&code[1]), [Loop { first: 2, last: 8 }]);
    }

    #[test]
    fn rare_ways_do_not_count() {
        let name = kernel("elementwise::map_32", "gelu_tanh");
        let line = |address, code: &str| format!("   {address:x}:\t{code}\n");
        let store = "vmovups %zmm0,(%rcx,%rsi,4)";
        let code = [
            format!("0000000000001000 <{name}>:\n"),
            line(0x1000, store),
            line(0x1008, "jb     1000 <loop>"),
            line(0x1010, "vmulpd %zmm1,%zmm1,%zmm0"),
            line(0x1018, store),
            line(0x1020, "jb     1010 <rare>"),
            line(0x1028, "ret"),
        ];
        assert_eq!(in_loops(&code.concat(), "gelu_tanh", "forward").unwrap(), 2.0 / 16.0);
    }

    #[test]
    fn stores_are_told_from_loads_and_spills() {
        let stores = |mnemonic, operands| Instruction { address: 0, mnemonic, operands }.stores();
        assert_eq!(stores("vmovups", "%zmm0,(%rcx,%rsi,4)"), 64);
        assert_eq!(stores("vmovups", "%zmm0,0x40(%rcx,%rsi,4){%k1}"), 64);
        assert_eq!(stores("vmovntps", "%ymm0,(%rcx)"), 32);
        assert_eq!(stores("vextractf64x4", "$0x1,%zmm0,0x20(%rcx)"), 32);
        assert_eq!(stores("vmovups", "%zmm0,0x50(%rsp)"), 0);
        assert_eq!(stores("vmovups", "(%rdi,%rsi,4),%zmm1"), 0);
        assert_eq!(stores("vmovups", "(%rdi,%rsi,4),%zmm1{%k1}{z}"), 0);
        assert_eq!(stores("vmovaps", "%zmm1,%zmm2"), 0);
        assert_eq!(stores("vmulps", "(%rdi),%zmm1,%zmm2"), 0);
        assert_eq!(stores("add", "$0x10,(%rsi)"), 0);
    }

    #[test]
    fn parts_of_a_profile() {
        let profile = "part: 1\nsummary: 7\ntotals: 100\npart: 2\ntotals: 32\ntotals: 5\n\
                       totals: 64\ntotals: 9\n";
        assert_eq!(every_second(profile).unwrap(), [32, 64]);
        assert!(every_second("totals: 1\ntotals: 2\n").is_err());
    }

    #[test]
    fn counts_are_compared() {
        let count = |function: &str, avx2, avx512| Count {
            function: function.to_owned(),
            direction: "forward".to_owned(),
            avx2,
            avx512,
        };
        let record = [count("gelu", 10.0, 5.0), count("silu", 8.0, 4.0)];
        assert_eq!(read(&write(&record)).unwrap(), record);
        assert!(read("gelu,forward,1\n").is_err() && read("gelu,forward,1,many\n").is_err());
        let same = compare(&record, &[count("gelu", 10.2, 5.0), count("silu", 8.0, 4.0)]).unwrap();
        assert!(!same.contains("better"), "{same}");
        let better = compare(&record, &[count("gelu", 9.0, 5.0)]).unwrap();
        assert!(better.contains("1 are better") && better.contains(ACCEPT), "{better}");
        let worse = compare(&record, &[count("gelu", 10.0, 5.2), count("relu", 1.0, 1.0)]);
        let worse = worse.unwrap_err().to_string();
        for part in ["gelu forward avx512: 5.0000 became 5.2000", "relu forward", ACCEPT] {
            assert!(worse.contains(part), "{worse}");
        }
    }
}
