use voipbin_receiver::resource::{Call, Direction};

/// The number of the other side: of the caller when the call came in, of the party called
/// otherwise.
///
/// `None` where the address has none, and for a caller who hides it: a word such as `anonymous`
/// stands in its place.
pub(crate) fn contact_number(call: &Call) -> Option<&str> {
    let address = match call.direction {
        Some(Direction::Incoming) => &call.source,
        _ => &call.destination,
    };
    let number = address.target.as_deref()?;
    number.starts_with('+').then_some(number)
}
