//! What was measured: as JSON, as text, as plots and as a part of the documentation.

mod comparison;
mod machine;
mod page;
mod plot;
mod scale;
mod table;
mod tables;

pub(crate) use self::comparison::{Comparison, Measured, Server, Skipped};
pub(crate) use self::machine::Machine;
pub(crate) use self::page::Page;
pub(crate) use self::scale::{Identities, Memory, Point, Scale};
