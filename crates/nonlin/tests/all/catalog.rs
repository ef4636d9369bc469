//! Functions by name.

use nonlin::{Error, Meta, functions, gated, gated_functions, get, get_approximate, rowwise};

/// A name as it is compared.
fn key(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' ', '.'], "")
}

/// The names of a definition that stand for it without further arguments.
fn names(meta: &Meta) -> Vec<String> {
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
            let found = get(&name).map(|f| f.name()).or_else(|_| gated(&name).map(|f| f.name()));
            assert_eq!(found, Ok(m.name), "`{name}`");
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
fn nearest_name() {
    for (typo, name) in
        [("geluu", "gelu"), ("sigmod", "sigmoid"), ("softmx", "softmax"), ("swigl", "swiglu")]
    {
        let wanted = Error::UnknownFunction { name: typo.into(), nearest: name };
        assert_eq!(get(typo).unwrap_err(), wanted);
    }
}

#[test]
fn approximate() {
    assert_eq!(get_approximate("GELU", "tanh").unwrap().name(), "gelu_tanh");
    assert_eq!(get_approximate("GELU", "none").unwrap().name(), "gelu");
    assert!(get_approximate("gelu", "magic").is_err());
}
