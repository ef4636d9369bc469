use crate::exec::Exec;
/// placeholder to be replaced
pub trait NdActivation { }
