//! A [`Function`] as a flat map: `{"name": "elu", "alpha": 0.5}`.

use crate::function::Function;
use alloc::string::String;
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The name and every parameter.
///
/// ```
/// let elu = nonlin::get("elu")?.with("alpha", 0.5)?;
/// assert_eq!(serde_json::to_string(&elu)?, r#"{"name":"elu","alpha":0.5}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Serialize for Function {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.params().count()))?;
        map.serialize_entry("name", self.name())?;
        for (p, v) in self.params() {
            map.serialize_entry(p.name, &v)?;
        }
        map.end()
    }
}

/// The name (or an alias) and any of the parameters; the others have their defaults.
///
/// ```
/// let f: nonlin::Function = serde_json::from_str(r#"{"alpha": 0.5, "name": "ELU"}"#)?;
/// assert_eq!(f, nonlin::get("elu")?.with("alpha", 0.5)?);
///
/// let e = serde_json::from_str::<nonlin::Function>(r#"{"name": "elu", "beta": 2}"#).unwrap_err();
/// assert!(e.to_string().starts_with("`elu` has no parameter `beta`; it has alpha"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Function;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with the `name` of a function and its parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Function, A::Error> {
        let mut function = None;
        // Parameters may come before the name.
        let mut given = alloc::vec::Vec::<(String, f64)>::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "name" {
                if function.is_some() {
                    return Err(A::Error::duplicate_field("name"));
                }
                let name: String = map.next_value()?;
                function = Some(crate::get(&name).map_err(A::Error::custom)?);
            } else if given.iter().any(|(k, _)| *k == key) {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            } else {
                given.push((key, map.next_value()?));
            }
        }
        let function = function.ok_or_else(|| A::Error::missing_field("name"))?;
        let given: alloc::vec::Vec<_> = given.iter().map(|(key, v)| (key.as_str(), *v)).collect();
        function.with_params(&given).map_err(A::Error::custom)
    }
}
