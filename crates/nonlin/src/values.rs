//! The values of a function's parameters: read, changed by index or by name, checked.

use crate::activation::{Constraint, Parameter};
use crate::error::Error;
use crate::exec::same_length;
use crate::names::Name;
#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};

/// How many parameters a definition may have.
pub(crate) const MOST: usize = 256;

/// How many values are held without an allocation.
const FEW: usize = 6;

/// The values of parameters.
#[derive(Clone)]
pub(crate) struct Values(Held);

#[derive(Clone)]
enum Held {
    /// The defaults.
    Default(&'static [f64]),
    /// Others, if they are few: so many of the array.
    Few(u8, [f64; FEW]),
    /// Others.
    #[cfg(feature = "alloc")]
    Many(Box<[f64]>),
}

/// What has parameters: what is known of them.
pub(crate) trait Parametric {
    /// The name, for an error.
    fn name(&self) -> Name;
    /// How many there are.
    fn params(&self) -> usize;
    fn param(&self, index: usize) -> Parameter<'_>;
    /// The name of a parameter, for an error.
    fn param_name(&self, index: usize) -> Name;
    /// What must hold between them.
    fn constraints(&self) -> &'static [Constraint];

    /// The index of the parameter of that name.
    #[cfg(feature = "alloc")]
    fn index(&self, name: &str) -> Result<usize, Error> {
        let is = |i: &usize| crate::names::same(self.param(*i).name, name);
        (0..self.params()).find(is).ok_or_else(|| {
            let known = (0..self.params()).map(|i| self.param_name(i)).collect();
            Error::UnknownParameter { function: self.name(), name: name.into(), known }
        })
    }
}

impl Values {
    /// The defaults of a definition.
    pub(crate) const fn defaults(all: &'static [f64]) -> Self {
        Values(Held::Default(all))
    }

    /// The defaults of what was recorded.
    #[cfg(feature = "alloc")]
    pub(crate) fn of(made: &impl Parametric) -> Self {
        let all: Vec<f64> = (0..made.params()).map(|i| made.param(i).default).collect();
        let mut few = [0.0; FEW];
        Values(match few.get_mut(..all.len()) {
            Some(to) => {
                to.copy_from_slice(&all);
                Held::Few(all.len() as u8, few)
            }
            None => Held::Many(all.into()),
        })
    }

    #[inline]
    pub(crate) fn get(&self) -> &[f64] {
        match &self.0 {
            Held::Default(all) => all,
            Held::Few(n, all) => &all[..usize::from(*n)],
            #[cfg(feature = "alloc")]
            Held::Many(all) => all,
        }
    }

    /// The values, to be changed.
    fn get_mut(&mut self, made: &impl Parametric) -> Result<&mut [f64], Error> {
        #[cfg(feature = "alloc")]
        let _ = made;
        if let Held::Default(all) = self.0 {
            let mut few = [0.0; FEW];
            self.0 = match few.get_mut(..all.len()) {
                Some(to) => {
                    to.copy_from_slice(all);
                    Held::Few(all.len() as u8, few)
                }
                #[cfg(feature = "alloc")]
                None => Held::Many(all.into()),
                #[cfg(not(feature = "alloc"))]
                None => return Err(Error::NeedsAlloc { function: made.name() }),
            };
        }
        Ok(match &mut self.0 {
            Held::Default(_) => unreachable!("replaced above"),
            Held::Few(n, all) => &mut all[..usize::from(*n)],
            #[cfg(feature = "alloc")]
            Held::Many(all) => all,
        })
    }

    /// Changes the value at `index`, within the bounds of that parameter.
    fn set(&mut self, made: &impl Parametric, index: usize, value: f64) -> Result<(), Error> {
        let Parameter { low, high, integer, .. } = made.param(index);
        let names = || (made.name(), made.param_name(index));
        if !(low..=high).contains(&value) {
            let (function, name) = names();
            return Err(Error::ParameterOutOfBounds { function, name, value, low, high });
        }
        if integer && value % 1.0 != 0.0 {
            let (function, name) = names();
            return Err(Error::ParameterNotWhole { function, name, value });
        }
        self.get_mut(made)?[index] = value;
        Ok(())
    }

    /// Whether the parameters go together.
    fn checked(self, made: &impl Parametric) -> Result<Self, Error> {
        let value = |name: &str| {
            let i = (0..made.params()).find(|i| made.param(*i).name == name)?;
            Some(self.get()[i])
        };
        for constraint in made.constraints() {
            let Constraint::AtMost(first, second) = *constraint;
            if let (Some(a), Some(b)) = (value(first), value(second))
                && a > b
            {
                return Err(Error::ParametersConflict {
                    function: made.name(),
                    lesser: (first.into(), a),
                    greater: (second.into(), b),
                });
            }
        }
        Ok(self)
    }

    /// These with another one at `index`.
    pub(crate) fn with_index(
        &self,
        made: &impl Parametric,
        index: usize,
        value: f64,
    ) -> Result<Self, Error> {
        let mut all = self.clone();
        all.set(made, index, value)?;
        all.checked(made)
    }

    /// Other ones, of all parameters.
    ///
    /// # Panics
    /// If there are not as many values as parameters.
    #[track_caller]
    pub(crate) fn with_values(
        &self,
        made: &impl Parametric,
        values: &[f64],
    ) -> Result<Self, Error> {
        same_length("values", values.len(), "the list of parameters", made.params());
        let mut all = self.clone();
        for (i, &value) in values.iter().enumerate() {
            all.set(made, i, value)?;
        }
        all.checked(made)
    }

    /// These with others at parameters of these names.
    #[cfg(feature = "alloc")]
    pub(crate) fn with_params(
        &self,
        made: &impl Parametric,
        params: &[(&str, f64)],
    ) -> Result<Self, Error> {
        let mut all = self.clone();
        let mut given = Vec::new();
        for (name, value) in params {
            let i = made.index(name)?;
            if given.contains(&i) {
                let (function, name) = (made.name(), made.param_name(i));
                return Err(Error::ParameterTwice { function, name });
            }
            given.push(i);
            all.set(made, i, *value)?;
        }
        all.checked(made)
    }
}

/// A list of parameters as numbers of some type.
pub(crate) struct List<T> {
    #[cfg(feature = "alloc")]
    all: Vec<T>,
    #[cfg(not(feature = "alloc"))]
    all: ([T; MOST], usize),
}

#[cfg(feature = "alloc")]
impl<T> List<T> {
    pub(crate) fn of(_: T, all: impl Iterator<Item = T>) -> Self {
        List { all: all.collect() }
    }
    pub(crate) fn get(&self) -> &[T] {
        &self.all
    }
}

#[cfg(not(feature = "alloc"))]
impl<T: Copy> List<T> {
    pub(crate) fn of(any: T, values: impl Iterator<Item = T>) -> Self {
        let (mut all, mut n) = ([any; MOST], 0);
        for v in values {
            all[n] = v;
            n += 1;
        }
        List { all: (all, n) }
    }
    pub(crate) fn get(&self) -> &[T] {
        &self.all.0[..self.all.1]
    }
}
