use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The content type of a request. A header of a length that nobody means is as good as none.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    const LONGEST: usize = 256;
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    (content_type.len() <= LONGEST).then_some(content_type)
}
