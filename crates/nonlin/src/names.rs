//! How names are compared: without regard to case, `-`, `_`, spaces and dots, and without an
//! allocation. And names that an error hands out.

#[cfg(feature = "alloc")]
use alloc::sync::Arc;
use core::{fmt, ops::Deref};

/// The letters of a name that count, in lower case.
pub(crate) fn letters(name: &str) -> impl Iterator<Item = char> + Clone + '_ {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ' | '.')).flat_map(char::to_lowercase)
}

/// Whether two names are one.
pub(crate) fn same(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}

/// The name of a function or a parameter: of a built-in one, or of one that was recorded. It
/// dereferences to the text.
#[derive(Clone)]
pub struct Name(Text);

#[derive(Clone)]
enum Text {
    Static(&'static str),
    #[cfg(feature = "alloc")]
    Shared(Arc<str>),
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            #[cfg(feature = "alloc")]
            Text::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Name(Text::Static(text))
    }
}

#[cfg(feature = "alloc")]
impl From<Arc<str>> for Name {
    fn from(text: Arc<str>) -> Self {
        Name(Text::Shared(text))
    }
}

#[cfg(feature = "alloc")]
impl From<alloc::string::String> for Name {
    fn from(text: alloc::string::String) -> Self {
        Name(Text::Shared(text.into()))
    }
}

impl PartialEq for Name {
    fn eq(&self, o: &Self) -> bool {
        **self == **o
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, o: &str) -> bool {
        **self == *o
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, o: &&str) -> bool {
        **self == **o
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
