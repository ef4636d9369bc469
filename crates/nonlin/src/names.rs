//! How names are compared: without regard to case, `-`, `_`, spaces and dots, and without an
//! allocation.

/// The letters of a name that count, in lower case.
pub(crate) fn letters(name: &str) -> impl Iterator<Item = char> + Clone + '_ {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).flat_map(char::to_lowercase)
}

/// Whether two names are one.
pub(crate) fn same(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}
