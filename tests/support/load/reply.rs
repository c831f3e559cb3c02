/// As much of an answer as has come.
#[derive(Default)]
pub(super) struct Reply {
    bytes: Vec<u8>,
    filled: usize,
}

/// An answer that is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether the server closes the connection after it.
    pub(super) closes: bool,
}

impl Reply {
    /// Where what comes next belongs.
    pub(super) fn space(&mut self) -> &mut [u8] {
        const ROOM: usize = 4096;
        if self.bytes.len() - self.filled < ROOM / 4 {
            self.bytes.resize(self.bytes.len() + ROOM, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// So many bytes more have come: the answer, if it is whole now.
    pub(super) fn filled(&mut self, count: usize) -> Option<Answer> {
        self.filled += count;
        let (answer, length) = parse(&self.bytes[..self.filled])?;
        assert!(
            length == self.filled,
            "more came than the answer to one request"
        );
        self.filled = 0;
        Some(answer)
    }
}

/// An answer with its length in bytes.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("the head of an answer is text");
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap();
    let (version, rest) = first.split_once(' ').expect("a status line");
    let status = rest[..3].parse().expect("a status");
    let mut closes = version == "HTTP/1.0";
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                closes = value.eq_ignore_ascii_case("close");
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().expect("a length");
            }
            17 => assert!(
                !name.eq_ignore_ascii_case("transfer-encoding"),
                "an answer of a few bytes has a length"
            ),
            _ => {}
        }
    }
    let whole = end + 4 + length;
    (bytes.len() >= whole).then_some((Answer { status, closes }, whole))
}
