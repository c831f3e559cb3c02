use std::ops::Range;

use super::Load;
use crate::{on_the_wire, signer};

/// About the length of the bodies that the platform sends for calls, in bytes.
pub const BODY_LENGTH: usize = 1536;

/// The length of an id.
const ID: usize = 36;
/// The length of a signature as it is sent.
const SIGNATURE: usize = "sha256=".len() + 64;

/// Requests that are signed and ready.
pub(super) struct Requests {
    /// A whole request. Those of other events differ in the id and the signature.
    template: Vec<u8>,
    id: Range<usize>,
    signature: Range<usize>,
    differences: Vec<[u8; ID + SIGNATURE]>,
}

impl Requests {
    pub(super) fn sign(load: &Load, count: usize) -> Self {
        let mut body = body(load.body_length).into_bytes();
        let template = on_the_wire("POST", &String::from_utf8_lossy(&body));
        let in_body = find(&body, &id(0));
        let head = template.len() - body.len();
        let signature = find(&template, signer().sign(&body).as_bytes());
        let signer = signer();
        let differences = (load.first..load.first + count)
            .map(|number| {
                let id = id(number);
                body[in_body.clone()].copy_from_slice(&id);
                let mut difference = [0; ID + SIGNATURE];
                difference[..ID].copy_from_slice(&id);
                difference[ID..].copy_from_slice(signer.sign(&body).as_bytes());
                difference
            })
            .collect();
        Self {
            id: in_body.start + head..in_body.end + head,
            signature,
            template,
            differences,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.differences.len()
    }

    pub(super) fn template(&self) -> Vec<u8> {
        self.template.clone()
    }

    /// Makes a request, which was that of another number, the one of this number.
    pub(super) fn write(&self, number: usize, request: &mut [u8]) {
        let (id, signature) = self.differences[number].split_at(ID);
        request[self.id.clone()].copy_from_slice(id);
        request[self.signature.clone()].copy_from_slice(signature);
    }
}

/// The id of the call of this number.
fn id(number: usize) -> [u8; ID] {
    let text = format!("{number:08x}-5eed-4000-8000-00000000c0de");
    text.into_bytes().try_into().unwrap()
}

fn find(all: &[u8], part: &[u8]) -> Range<usize> {
    let start = all.windows(part.len()).position(|at| at == part).unwrap();
    start..start + part.len()
}

/// The end of the call 0 with a body of this length: as the platform sends it, with fewer fields
/// where that is too long, and with more calls that are chained to it where it is too short.
fn body(length: usize) -> String {
    let id = String::from_utf8_lossy(&id(0)).into_owned();
    let mut body = include_str!("../../fixtures/today/call_hangup.json")
        .trim_end()
        .replacen("cfda08cd-ba8e-5c29-a927-67156793afc4", &id, 1);
    if body.len() > length {
        body = crate::call_hangup(&id);
    } else {
        let list = r#""chained_call_ids":["#;
        let call = r#""6aef63dc-81f4-57a8-aca1-ea10182e100e","#;
        let more = call.repeat((length - body.len()) / call.len());
        body = body.replacen(list, &format!("{list}{more}"), 1);
    }
    let reason = r#""hangup_reason":"normal"#;
    let rest = "l".repeat(length.saturating_sub(body.len()));
    body.replacen(reason, &format!("{reason}{rest}"), 1)
}
