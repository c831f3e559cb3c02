//! What the test decides of a page's program.

use std::future::pending;
use std::{env, io};

/// Instead of the one that tells a person: the handlers of the pages print what they have handled.
macro_rules! println {
    ($($what:tt)*) => {
        page::handled(&format!($($what)*)).await
    };
}

/// Tells the test; with `HANG` it never ends.
pub(crate) async fn handled(what: &str) {
    if env::var_os("HANG").is_some() {
        pending::<()>().await;
    }
    let mut line = what.to_owned();
    line.push('\n');
    let _ = io::Write::write_all(&mut io::stdout().lock(), line.as_bytes());
}

/// Where to listen.
pub(crate) fn address() -> String {
    env::var("LISTEN").unwrap_or_default()
}
