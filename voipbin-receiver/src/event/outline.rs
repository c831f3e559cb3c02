//! Finds the parts of an envelope that is written as the platform writes it.

/// `type` and `data` of an envelope, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// What is between the quotes; there is no escape in it.
    pub(super) event_type: &'a str,
    pub(super) data: &'a str,
}

/// Reads a whole document in a part of the time that serde_json takes. It gives up on what is seldom: then
/// nothing is known, and serde_json decides. What it takes is JSON, with one `type`, a string, and one
/// `data`.
pub(super) fn read(json: &str) -> Option<Outline<'_>> {
    let mut scan = Scan::new(json.as_bytes());
    let (mut event_type, mut data) = (None, None);
    scan.blanks();
    scan.take(b'{')?;
    loop {
        scan.blanks();
        // From here to there is never within a character.
        let start = scan.at;
        let escaped = scan.string()?;
        let key = json.get(start..scan.at)?;
        scan.colon()?;
        let start = scan.at;
        scan.value()?;
        let value = json.get(start..scan.at)?;
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
    let plain = scan.peek().is_none() && !event_type.contains('\\');
    plain.then_some(Outline {
        event_type,
        data: data?,
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
