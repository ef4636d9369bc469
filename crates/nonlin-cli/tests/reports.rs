//! `nonlin list`, `nonlin show`, `nonlin plot` and the help texts.

mod common;

use std::fs;

use common::good;
use nonlin_cli::chosen::Chosen;
use serde_json::{Value, json};

fn here(words: &[&str]) -> String {
    good(tempfile::tempdir().unwrap().path(), words)
}

#[test]
fn every_command_has_examples() {
    for words in [
        &["--help"][..],
        &["apply", "--help"],
        &["bench", "--help"],
        &["list", "--help"],
        &["show", "--help"],
        &["plot", "--help"],
        &["explain", "--help"],
        &["export", "--help"],
    ] {
        let help = here(words);
        assert!(help.contains("Examples:\n  "), "{help}");
    }
    assert!(here(&["--version"]).starts_with("nonlin 0."));
    let nothing = common::nonlin(tempfile::tempdir().unwrap().path(), &[]);
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn the_list_is_complete() {
    let text = here(&["list"]);
    let json: Value = serde_json::from_str(&here(&["list", "--json"])).unwrap();
    let json = json.as_array().unwrap();
    let all: Vec<Chosen> = Chosen::all().chain(Chosen::formulas()).collect();
    assert_eq!(json.len(), all.len());
    for (f, entry) in all.iter().zip(json) {
        let meta = f.meta();
        assert!(text.contains(&format!("  {} ", meta.name)), "{}", meta.name);
        assert!(text.contains(meta.formula), "{}", meta.name);
        assert_eq!(entry["name"], meta.name);
        assert_eq!(entry["kind"], f.kind());
        assert_eq!(entry["formula"], meta.formula);
        // What is plain mathematics has no paper.
        let source = entry["source"].as_str().is_some_and(|s| !s.is_empty());
        assert!(source || f.is_formula(), "{}", meta.name);
    }
    assert!(text.contains("alpha = 1") && text.contains("also") && text.contains("gated\n"));
}

#[test]
fn show_tells_all() {
    // All of them take a minute where nothing is optimised.
    let step = if cfg!(debug_assertions) { 5 } else { 1 };
    for f in Chosen::all().step_by(step) {
        let name = f.meta().name;
        let text = here(&["show", name]);
        for part in [
            "formula", "source", "range", "limits", "zeros", "extrema", "kinks", "speed", "memcpy",
            "f′",
        ] {
            assert!(text.contains(part), "{name}: no {part} in\n{text}");
        }
        let braille = |c: char| ('\u{2801}'..='\u{28ff}').contains(&c);
        assert!(text.chars().filter(|&c| braille(c)).count() > 20, "{name}: no curve in\n{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{name}: wide lines in\n{text}");
    }
}

#[test]
fn show_as_data() {
    let json: Value = serde_json::from_str(&here(&["show", "silu", "--json"])).unwrap();
    let p = &json["properties"];
    assert_eq!(p["limits"][1], "inf");
    assert!((p["extrema"][0]["value"].as_f64().unwrap() + 0.278_464).abs() < 1e-5);
    assert_eq!(json["measured"]["types"][0]["type"], "f32");
    assert!(json["measured"]["types"][0]["times_memcpy"].as_f64().unwrap() > 0.0);
    let error = json["measured"]["types"][0]["worst_error_ulp"]["value"].as_f64().unwrap();
    assert!(error < 1.0, "{error}");
    assert_eq!(
        (&p["claims"]["odd"], &p["bounds_ulp"]["f32"]["value"]),
        (&false.into(), &1.0.into())
    );
    assert!((p["claims"]["lipschitz"].as_f64().unwrap() - 1.099_839).abs() < 1e-5);
    for (name, at_end) in [("value", 6.0 / (1.0 + (-6.0f64).exp())), ("slope", 1.012_2)] {
        let points = json["curve"][name].as_array().unwrap();
        let (first, last) = (&points[0], &points[points.len() - 1]);
        assert_eq!((&first[0], &last[0]), (&(-6.0).into(), &6.0.into()));
        assert!((last[1].as_f64().unwrap() - at_end).abs() < 1e-3, "{name}: {last}");
    }
    let example = &json["example"];
    let list = |v: &Value| -> Vec<f32> {
        v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    let (x, grad) = (list(&example["inputs"][0]), list(&example["gradient"]));
    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    nonlin::Silu.forward(&x, &mut y);
    nonlin::Silu.backward(&x, &grad, &mut dx);
    assert_eq!((list(&example["output"]), list(&example["gradients"][0])), (y, dx));

    let json: Value =
        serde_json::from_str(&here(&["show", "elu", "-p", "alpha=0.5", "--json"])).unwrap();
    assert_eq!(json["parameters"][0]["value"], 0.5);
    assert_eq!(json["properties"]["searched"], true);
    assert!(json["properties"]["claims"].is_null() && json["properties"]["bounds_ulp"].is_null());
    assert_eq!(json["properties"]["limits"][0], -0.5);
    assert_eq!(json["properties"]["kinks"][0]["x"], 0.0);
}

#[test]
fn times_as_data() {
    let words = ["bench", "tanh", "--size", "256", "--inputs", "tails", "--layouts", "--json"];
    let json: Value = serde_json::from_str(&here(&words)).unwrap();
    assert_eq!((&json["inputs"], &json["size"]), (&"tails".into(), &256.into()));
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.iter().all(|r| r["ns_per_element"].as_f64().is_some_and(|v| v > 0.0)));
    for (name, what) in [("memcpy", "yardstick"), ("tanh", "in place"), ("tanh", "unaligned")] {
        assert!(rows.iter().any(|r| r["name"] == name && r["what"] == what), "{name} {what}");
    }
}

#[test]
fn figures_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let words =
        ["plot", "gelu", "elu:alpha=0.5", "swiglu", "softmax", "-o", "a.svg", "--range", "-4:4"];
    good(dir.path(), &words);
    let svg = fs::read_to_string(dir.path().join("a.svg")).unwrap();
    for part in
        [">gelu<", ">elu(alpha=0.5)<", ">swiglu(x, 1)<", ">softmax([x, 0])<", ">−4<", ">f(x)<"]
    {
        assert!(svg.contains(part), "{part}");
    }
    good(dir.path(), &["plot", "relu", "-o", "b.PNG", "--derivative"]);
    let png = fs::read(dir.path().join("b.PNG")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
    let all: Vec<Chosen> = Chosen::all().collect();
    let names: Vec<&str> = all.iter().map(|f| f.meta().name).collect();
    good(dir.path(), &[&["plot", "-o", "all.svg"], names.as_slice()].concat());
}

#[test]
fn formulas_are_explained() {
    let text = here(&["explain", "0.5 * x * (1 + erf(x / sqrt(2)))"]);
    for part in [
        "computed as  x * normal_cdf(x)",
        "built-in     gelu",
        "since the sum cancels on the left",
        "as written   largest no digit is right",
        "it loses no digits",
        "  forward    t1 = normal_cdf(x)\n             y = gated(x, t1)\n  backward   ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(here(&["explain", "x - sin(x)"]).contains("it still loses digits"));
    let json: Value =
        serde_json::from_str(&here(&["explain", "ln(1 + exp(x))", "--json"])).unwrap();
    assert_eq!(json["computed_as"], "softplus(x)");
    assert_eq!(json["built_in"], "softplus");
    assert_eq!(json["program"]["forward"], serde_json::json!(["y = softplus(x)"]));
    assert_eq!(json["rewritings"].as_array().map(Vec::len), Some(1));
    assert!(json["as_computed"]["largest"].as_f64().is_some_and(|e| e < 4.0), "{json}");
    assert!(json["as_written"]["no_number"].as_u64().is_some_and(|n| n > 100), "{json}");
    let refused = common::nonlin(tempfile::tempdir().unwrap().path(), &["explain", "x * tnah(x)"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "nonlin: unknown function `tnah`; did you mean `tanh`?");
    assert_eq!(lines[1..], ["  x * tnah(x)", "      ^^^^"]);
    assert_eq!(refused.status.code(), Some(1));
}

/// A formula goes where a name goes.
#[test]
fn formulas_are_functions() {
    const SINE: &str = "x * cos(alpha * x); alpha = 1 in [0, 10]";
    let text = here(&["show", SINE, "-p", "alpha=2"]);
    for part in [
        "x * cos(alpha * x); alpha = 1 in [0, 10] at alpha=2 (elementwise)",
        "formula      x * cos(alpha * x)",
        "alpha = 2 (from 0 to 10, default 1)\n",
        "zeros        -5.49779, -3.92699, -2.35619, -0.785398, 0, 0.785398,",
        " more\n",
        "found by a search",
        "f32: f 0.5",
        "memcpy",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let json: Value = serde_json::from_str(&here(&["show", "a * tanh(b)", "--json"])).unwrap();
    assert_eq!((&json["kind"], &json["formula"]), (&"gated".into(), &"a * tanh(b)".into()));
    assert!(json["properties"]["bounds_ulp"].is_null(), "{json}");
    // One of the catalogue has what the catalogue has of it.
    let json: Value =
        serde_json::from_str(&here(&["show", "x*tanh(softplus(x))", "--json"])).unwrap();
    assert_eq!(json["name"], "mish");
    assert_eq!(json["properties"]["searched"], false);

    let words = ["verify", "x * tanh(x)", "a * tanh(b)", "relu", "--points", "1024", "--json"];
    let rows: Value = serde_json::from_str(&here(&words)).unwrap();
    let rows = rows.as_array().unwrap();
    let of = |name: &str| rows.iter().filter(|r| r["function"] == name).collect::<Vec<_>>();
    for (name, lines) in [("x * tanh(x)", 12), ("a * tanh(b)", 12)] {
        assert_eq!(of(name).len(), lines, "{rows:?}");
        assert!(of(name).iter().all(|r| r["verdict"] == "measured" && r["bound"].is_null()));
        let worst = |r: &Value| r["max_ulp"].as_f64().unwrap();
        let values = of(name).into_iter().filter(|r| r["what"] == "f");
        assert!(values.map(worst).all(|e| (0.25..4.0).contains(&e)), "{rows:?}");
    }
    assert!(of("relu").iter().all(|r| r["verdict"] == "pass"));
    let table = here(&["verify", "x * tanh(x)", "--points", "1024", "--dtype", "f32"]);
    assert!(table.contains(" none measured\n"), "{table}");

    let words = ["bench", SINE, "a * tanh(b)", "--size", "1024", "--json"];
    let json: Value = serde_json::from_str(&here(&words)).unwrap();
    for name in [SINE, "a * tanh(b)"] {
        for what in ["forward", "backward"] {
            let there = |r: &Value| r["name"] == name && r["what"] == what;
            assert!(json["rows"].as_array().unwrap().iter().any(there), "{name} {what}: {json}");
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let curve = format!("{SINE}:alpha=3");
    good(dir.path(), &["plot", "silu", &curve, "a * tanh(b)", "-o", "a.svg", "--derivative"]);
    let svg = fs::read_to_string(dir.path().join("a.svg")).unwrap();
    for part in [">silu<", "[0, 10] at alpha=3<", ">a * tanh(b)(x, 1)<"] {
        assert!(svg.contains(part), "{part}");
    }
}

#[test]
fn a_file_of_functions_is_a_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[soft]\nformula = \"x / (k + abs(x)); k = 1 in (0, 9)\"\nsource = \"us\"\n\
                [unit]\nformula = \"a * tanh(b)\"\nnotes = \"ours\"\n";
    std::fs::write(dir.path().join("mine.toml"), text).unwrap();
    let out = |args: &[&str]| {
        let all = [args, &["--catalog", "mine.toml"]].concat();
        let done = common::nonlin(dir.path(), &all);
        (
            done.status.success(),
            String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(),
        )
    };
    let (good, list) = out(&["list"]);
    assert!(
        good && list.contains("  soft ") && list.contains("us") && list.contains("ours"),
        "{list}"
    );
    let json: Value = serde_json::from_str(&out(&["list", "--json"]).1).unwrap();
    let last = json.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["name"], &last["kind"], &last["notes"]),
        (&json!("unit"), &json!("gated"), &json!("ours"))
    );
    let (good, shown) = out(&["show", "soft", "--param", "k=2"]);
    assert!(good && shown.contains("k = 2"), "{shown}");
    let (good, explained) = out(&["explain", "soft"]);
    assert!(good && explained.contains("x / (k + abs(x))"), "{explained}");
    std::fs::write(dir.path().join("mine.toml"), "[gelu]\nformula = \"x\"\n").unwrap();
    let (good, error) = out(&["list"]);
    assert!(
        !good && error.contains("mine.toml") && error.contains("`gelu` is a name of gelu"),
        "{error}"
    );
}
