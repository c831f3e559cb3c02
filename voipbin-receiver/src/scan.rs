//! Reads JSON in a part of the time that serde_json takes, to find where its parts are.
//!
//! It gives up on what is seldom, such as what is nested more than 64 deep: then nothing is known, and serde_json
//! decides. What it takes is JSON.

/// The name of a member of an object.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    /// What is between its quotes, as it was written.
    pub(crate) text: &'a str,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
}

/// Gives every member of an object, in order, and its value as it was written. `None` where this is no object, or
/// nobody knows, or where `each` wants no more: some may have been given by then.
#[inline]
pub(crate) fn members<'a>(
    json: &'a str,
    mut each: impl FnMut(Name<'a>, &'a str) -> Option<()>,
) -> Option<()> {
    Scan::new(json.as_bytes()).parts(b'{', b'}', |scan| {
        // From here to there is never within a character.
        let start = scan.at;
        let escaped = scan.string()?;
        let text = json.get(start + 1..scan.at - 1)?;
        scan.colon()?;
        let start = scan.at;
        scan.value()?;
        each(Name { text, escaped }, json.get(start..scan.at)?)
    })
}

/// Gives every element of a list, as [`members`] does those of an object.
pub(crate) fn elements<'a>(
    json: &'a str,
    mut each: impl FnMut(&'a str) -> Option<()>,
) -> Option<()> {
    Scan::new(json.as_bytes()).parts(b'[', b']', |scan| {
        let start = scan.at;
        scan.value()?;
        each(json.get(start..scan.at)?)
    })
}

/// How many bytes are looked at in one go for the ends of strings.
const BLOCK: usize = 64;

/// A document, and how far it is read.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the block begins that was looked at last.
    block: usize,
    /// Which of its bytes are special.
    special: u64,
}

impl<'a> Scan<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            block: usize::MAX,
            special: 0,
        }
    }

    /// Reads the parts of a document that begins and ends so, each from its first byte to its last.
    #[inline(always)]
    fn parts(
        &mut self,
        open: u8,
        close: u8,
        mut part: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.blanks();
        self.take(open)?;
        self.blanks();
        if self.peek()? == close {
            self.at += 1;
            return self.end();
        }
        loop {
            part(self)?;
            self.blanks();
            match self.next()? {
                b',' => self.blanks(),
                end if end == close => return self.end(),
                _ => return None,
            }
        }
    }

    /// Whether nothing follows but blanks.
    fn end(&mut self) -> Option<()> {
        self.blanks();
        self.peek().is_none().then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
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
        let rest = self.bytes.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(())
    }

    /// A value of any kind, up to 64 deep.
    fn value(&mut self) -> Option<()> {
        // One bit for each object, 1, and list, 0, that is open and not empty, behind a first 1.
        let mut open = 1_u64;
        let within = |open: u64, kind| (open.leading_zeros() > 0).then_some(open << 1 | kind);
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.at += 1;
                    self.blanks();
                    if self.peek()? != b'}' {
                        open = within(open, 1)?;
                        self.name()?;
                        continue;
                    }
                    self.at += 1;
                }
                b'[' => {
                    self.at += 1;
                    self.blanks();
                    if self.peek()? != b']' {
                        open = within(open, 0)?;
                        continue;
                    }
                    self.at += 1;
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
    #[inline(always)]
    fn string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            self.skip_plain()?;
            match self.next()? {
                b'"' => return Some(escaped),
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                // A control character.
                _ => return None,
            }
        }
    }

    /// Skips all bytes before the next special one; `None` where there is none.
    #[inline(always)]
    fn skip_plain(&mut self) -> Option<()> {
        loop {
            let block = self.at / BLOCK * BLOCK;
            if block != self.block {
                self.look_at(block)?;
            }
            let here = self.special >> (self.at % BLOCK);
            if here != 0 {
                self.at += here.trailing_zeros() as usize;
                return Some(());
            }
            self.at = block + BLOCK;
        }
    }

    /// Apart, so that what is done for each string is short.
    #[inline(never)]
    fn look_at(&mut self, block: usize) -> Option<()> {
        let bytes = self.bytes.get(block..)?;
        self.special = match bytes.first_chunk() {
            Some(bytes) => special(bytes),
            None => special_in_part(bytes),
        };
        self.block = block;
        Some(())
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => while self.digit() {},
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
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
        let is_digit = self.peek().is_some_and(|byte| byte.is_ascii_digit());
        self.at += usize::from(is_digit);
        is_digit
    }
}

/// Which bytes, from the lowest bit on, are special in a string: a quote, a backslash or a control
/// character. No step waits for the one before, and compilers take many bytes in one.
fn special(bytes: &[u8; BLOCK]) -> u64 {
    let mut special = [0; BLOCK];
    for (special, byte) in special.iter_mut().zip(*bytes) {
        *special = u8::from((byte == b'"') | (byte == b'\\') | (byte < 0x20));
    }
    // Brings the lowest bits of eight bytes together in the highest byte.
    const TOGETHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = special.as_chunks();
    words.iter().rev().fold(0, |bits, word| {
        let word = u64::from_le_bytes(*word);
        bits << 8 | word.wrapping_mul(TOGETHER) >> 56
    })
}

/// The same at the end of a document.
#[cold]
fn special_in_part(bytes: &[u8]) -> u64 {
    // No byte of the rest is special.
    let mut block = [b' '; BLOCK];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    special(&block)
}

#[cfg(test)]
mod tests;
