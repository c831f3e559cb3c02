//! Who may do what, as types: what needs a right takes a permit for it, and permits are made here
//! alone.

use std::marker::PhantomData;

/// What somebody may do in the [inspector](crate::inspector). Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Nothing.
    #[default]
    None,
    /// To see what there is, without bodies, numbers and the texts of errors.
    Read,
    /// To see these too. It is told to the observers.
    Reveal,
    /// To change something. It is told to the observers.
    Act,
}

/// A right that something needs.
pub(super) trait Right {
    const NEEDS: Access;
}

/// Nothing is needed.
pub(super) enum Anyone {}

/// [`Access::Read`] is needed.
pub(super) enum Reader {}

/// [`Access::Reveal`] is needed.
pub(super) enum Revealer {}

/// [`Access::Act`] is needed.
pub(super) enum Actor {}

impl Right for Anyone {
    const NEEDS: Access = Access::None;
}

impl Right for Reader {
    const NEEDS: Access = Access::Read;
}

impl Right for Revealer {
    const NEEDS: Access = Access::Reveal;
}

impl Right for Actor {
    const NEEDS: Access = Access::Act;
}

/// A right that includes [`Reader`].
pub(super) trait Reads: Right {}

impl Reads for Reader {}
impl Reads for Revealer {}
impl Reads for Actor {}

/// Shows that somebody has a right. [`Access::permit`] alone makes one.
pub(super) struct Permit<R: Right>(PhantomData<fn() -> R>);

impl Access {
    pub(super) fn permit<R: Right>(self) -> Option<Permit<R>> {
        (self >= R::NEEDS).then_some(Permit(PhantomData))
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Reveal => "reveal",
            Self::Act => "act",
        }
    }
}
