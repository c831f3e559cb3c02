//! Finds the parts of an envelope that is written as the platform writes it.

/// `type` and `data` of an envelope, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// What is between the quotes; there is no escape in it.
    pub(super) event_type: &'a str,
    pub(super) data: &'a str,
}

/// Reads a whole document in half the steps that serde_json takes. It gives up on what is seldom: then
/// nothing is known, and serde_json decides. What it takes is JSON, with one `type`, a string, and one
/// `data`.
pub(super) fn read(json: &str) -> Option<Outline<'_>> {
    let mut scan = Scan {
        rest: json.as_bytes(),
    };
    // From here to there is never within a character.
    let between = |start: usize, end: usize| json.get(json.len() - start..json.len() - end);
    let (mut event_type, mut data) = (None, None);
    scan.blanks();
    scan.take(b'{')?;
    loop {
        scan.blanks();
        let start = scan.rest.len();
        let escaped = scan.string()?;
        let key = between(start, scan.rest.len())?;
        scan.colon()?;
        let start = scan.rest.len();
        scan.value()?;
        let value = between(start, scan.rest.len())?;
        let known = match key {
            "\"type\"" => &mut event_type,
            "\"data\"" => &mut data,
            _ if escaped => return None,
            _ => &mut None,
        };
        if known.replace(value).is_some() {
            return None;
        }
        scan.blanks();
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    scan.blanks();
    let event_type = event_type?.strip_prefix('"')?.strip_suffix('"')?;
    let plain = scan.rest.is_empty() && !event_type.contains('\\');
    plain.then_some(Outline {
        event_type,
        data: data?,
    })
}

/// What is left of a document.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn blanks(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.colon()
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// A value of any kind, up to 64 deep.
    fn value(&mut self) -> Option<()> {
        // One bit for each object, 1, and list, 0, that is open and not empty, behind a first 1.
        let mut open = 1_u64;
        let within = |open: u64, kind| (open.leading_zeros() > 0).then_some(open << 1 | kind);
        loop {
            match self.rest.first()? {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.next();
                    self.blanks();
                    if self.rest.first()? != &b'}' {
                        open = within(open, 1)?;
                        self.name()?;
                        continue;
                    }
                    self.next();
                }
                b'[' => {
                    self.next();
                    self.blanks();
                    if self.rest.first()? != &b']' {
                        open = within(open, 0)?;
                        continue;
                    }
                    self.next();
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // It has ended, and with it perhaps what it is in.
            loop {
                if open == 1 {
                    return Some(());
                }
                self.blanks();
                let in_object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.blanks();
                        if in_object {
                            self.name()?;
                        }
                        break;
                    }
                    b'}' if in_object => open >>= 1,
                    b']' if !in_object => open >>= 1,
                    _ => return None,
                }
            }
        }
    }

    /// A string; whether there are escapes in it.
    fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            while let Some((word, rest)) = self.rest.split_first_chunk() {
                let special = special(u64::from_le_bytes(*word));
                if special == 0 {
                    self.rest = rest;
                } else {
                    let before = special.trailing_zeros() as usize / 8;
                    self.rest = self.rest.get(before..)?;
                    break;
                }
            }
            match self.next()? {
                b'"' => return Some(escaped),
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let (digits, rest) = self.rest.split_first_chunk::<4>()?;
                self.rest = rest;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        if let [b'-', rest @ ..] = self.rest {
            self.rest = rest;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => while self.digit() {},
            _ => return None,
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.digit().then_some(())?;
        while self.digit() {}
        Some(())
    }

    fn digit(&mut self) -> bool {
        let [b'0'..=b'9', rest @ ..] = self.rest else {
            return false;
        };
        self.rest = rest;
        true
    }
}

/// Eight bytes in one step: the lowest bit that is set is in the first one that is a quote, a backslash or
/// a control character. Bits above it mean nothing.
fn special(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is_zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let quote = is_zero(word ^ (EACH * b'"' as u64));
    let backslash = is_zero(word ^ (EACH * b'\\' as u64));
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    (quote | backslash | control) & (EACH * 0x80)
}

#[cfg(test)]
mod tests;
