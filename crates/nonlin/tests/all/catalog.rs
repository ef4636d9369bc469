//! Functions by name.

use nonlin::{Error, Meta, functions, gated, gated_functions, get, get_approximate, rowwise};

/// A name as it is compared.
fn key(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' ', '.'], "")
}

/// The names of a definition that stand for it without further arguments.
fn names(meta: Meta) -> Vec<String> {
    let frameworks = [meta.pytorch, meta.onnx, meta.keras].into_iter();
    let plain = frameworks.filter(|n| !n.is_empty() && !n.contains('('));
    let all = [meta.name].into_iter().chain(meta.aliases.iter().copied()).chain(plain);
    let mut keys: Vec<String> = all.map(key).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_name_leads_to_one_function() {
    let mut seen = Vec::new();
    let all =
        functions().iter().map(|f| f.meta()).chain(gated_functions().iter().map(|f| f.meta()));
    for m in all {
        for name in names(m) {
            let found = get(&name).map(|f| f.name().to_owned());
            let found = found.or_else(|_| gated(&name).map(|f| f.name().to_owned()));
            assert_eq!(found.as_deref(), Ok(m.name), "`{name}`");
            assert!(!seen.contains(&name), "`{name}` of `{}` is another function's too", m.name);
            assert!(
                rowwise(&name).is_err(),
                "`{name}` of `{}` is a row-wise function's too",
                m.name
            );
            seen.push(name);
        }
    }
}

#[test]
fn sorted() {
    assert!(functions().is_sorted_by_key(|f| f.name()));
    assert!(gated_functions().is_sorted_by_key(|f| f.name()));
}

#[test]
fn slips_are_suggestions() {
    for (typo, name) in [
        ("geluu", "gelu"),
        ("gellu", "gelu"),
        ("sigmod", "sigmoid"),
        ("softmx", "softmax"),
        ("swigl", "swiglu"),
        ("leeky_rellu", "leaky_relu"),
        ("LeekyReLU(0.1)", "leaky_relu"),
        ("tahn", "tanh"),
    ] {
        let error = get(typo).unwrap_err();
        assert_eq!(error, Error::UnknownFunction { name: typo.into(), nearest: Some(name) });
    }
}

/// Names of functions that are known elsewhere, and of none.
#[test]
fn other_names_are_not() {
    for name in [
        "nosuch",
        "eswish",
        "swish2",
        "swiglu2",
        "relu_tanh",
        "gelu_magic",
        "sparsemax",
        "maxout",
        "x",
        "",
        "日本",
        "1",
    ] {
        let error = get(name).unwrap_err();
        assert_eq!(error, Error::UnknownFunction { name: name.into(), nearest: None });
    }
}

#[test]
fn another_kind_is_named() {
    let says = |e: Option<Error>, text| assert_eq!(e.unwrap().to_string(), text);
    says(get("SwiGLU").err(), "`swiglu` is gated, not elementwise; look it up with `gated`");
    says(
        get("softargmax").err(),
        "`softmax` is row-wise, not elementwise; look it up with `rowwise`",
    );
    says(gated("swish").err(), "`silu` is elementwise, not gated; look it up with `get`");
    says(rowwise("glu").err(), "`glu` is gated, not row-wise; look it up with `gated`");
}

#[test]
fn approximate() {
    assert_eq!(get_approximate("GELU", "tanh").unwrap().name(), "gelu_tanh");
    assert_eq!(get_approximate("GELU", "none").unwrap().name(), "gelu");
    assert!(get_approximate("gelu", "magic").is_err());
}
