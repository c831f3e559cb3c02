//! Files that others put there: secrets, keys, certificates.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use zeroize::Zeroizing;

/// The bytes of a regular file of at most so many. A pipe or a device in its place is an error: to
/// open or read it could block for ever. A link to a file is one.
pub(crate) fn read(path: &Path, longest: usize) -> Result<Zeroizing<Vec<u8>>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let too_large = || {
        Error::new(
            ErrorKind::FileTooLarge,
            format!("it is over {longest} bytes"),
        )
    };
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if length > longest {
        return Err(too_large());
    }
    // Large enough from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(longest.saturating_add(64)));
    let room = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(room).read_to_end(&mut bytes)?;
    if bytes.len() > longest {
        return Err(too_large());
    }
    Ok(bytes)
}
