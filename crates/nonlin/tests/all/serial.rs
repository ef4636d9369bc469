//! Functions as JSON.
#![cfg(feature = "serde")]

use nonlin::{Function, functions, get};

fn parse(text: &str) -> Result<Function, String> {
    // Without the position that serde_json adds.
    serde_json::from_str(text)
        .map_err(|e| e.to_string().split(" at line").next().unwrap().to_string())
}

#[test]
fn round_trip() {
    for f in functions() {
        let text = serde_json::to_string(f).unwrap();
        assert_eq!(&parse(&text).unwrap(), *f, "{text}");
        let values: Vec<f64> = (0..f.params().len()).map(|i| 0.1 + i as f64 / 3.0).collect();
        let other = f.with_values(&values).unwrap();
        let text = serde_json::to_string(&other).unwrap();
        assert_eq!(parse(&text).unwrap(), other, "{text}");
        assert_eq!(&other == *f, f.params().count() == 0);
        let value = serde_json::to_value(&other).unwrap();
        assert_eq!(value["name"], f.name());
        assert_eq!(value.as_object().unwrap().len(), 1 + f.params().count());
        assert_eq!(serde_json::from_value::<Function>(value).unwrap(), other);
    }
}

#[test]
fn text() {
    assert_eq!(
        serde_json::to_string(&get("rrelu").unwrap().with("upper", 0.5).unwrap()).unwrap(),
        r#"{"name":"rrelu","lower":0.125,"upper":0.5}"#
    );
    assert_eq!(serde_json::to_string(&get("relu").unwrap()).unwrap(), r#"{"name":"relu"}"#);
    assert_eq!(parse(r#"{"name": "swish"}"#).unwrap(), get("silu").unwrap());
    assert_eq!(
        parse(r#"{"alpha": 2, "name": "elu"}"#).unwrap(),
        get("elu").unwrap().with("alpha", 2.0).unwrap()
    );
    // The exact constant 1/6 comes back as such.
    assert_eq!(parse(r#"{"name": "hard_sigmoid"}"#).unwrap(), get("hard_sigmoid").unwrap());
}

#[test]
fn errors() {
    for (text, error) in [
        (r#"{"name": "geluu"}"#, "unknown function `geluu`; did you mean `gelu`?"),
        (r#"{"name": "elu", "beta": 1}"#, "`elu` has no parameter `beta`; it has alpha"),
        (r#"{"name": "relu", "alpha": 1}"#, "`relu` has no parameter `alpha`; it has none"),
        (r#"{"name": "celu", "alpha": 0}"#, "`alpha` of `celu` is 0; it must be at least 0.000001"),
        (r#"{"alpha": 0}"#, "missing field `name`"),
        (r#"{"name": "elu", "name": "elu"}"#, "duplicate field `name`"),
        (r#"{"name": "elu", "alpha": 1, "alpha": 2}"#, "duplicate field `alpha`"),
        (r#"{"name": "elu", "alpha": "x"}"#, "invalid type: string \"x\", expected f64"),
        (r#"{"name": "elu", "alpha": null}"#, "invalid type: null, expected f64"),
        (
            r#"["elu"]"#,
            "invalid type: sequence, expected a map with the `name` of a function and its parameters",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), error, "{text}");
    }
}
