//! What VoIPBIN sends of a few calls.

/// We called, and talked for 42.25 seconds.
pub(crate) const FIRST_ANSWERED: &str = r#"{"type":"call_progressing","data":{"id":"cfda08cd-ba8e-4c29-a927-67156793afc4","source":{"type":"tel","target":"+15550100"},"destination":{"type":"tel","target":"+15550111"},"status":"progressing","direction":"outgoing","tm_progressing":"2026-09-01T08:00:05.5Z","tm_create":"2026-09-01T08:00:00.123456Z","tm_update":"2026-09-01T08:00:05.5Z"}}"#;
pub(crate) const FIRST_ENDED: &str = r#"{"type":"call_hangup","data":{"id":"cfda08cd-ba8e-4c29-a927-67156793afc4","source":{"type":"tel","target":"+15550100"},"destination":{"type":"tel","target":"+15550111"},"status":"hangup","direction":"outgoing","hangup_by":"local","hangup_reason":"normal","tm_progressing":"2026-09-01T08:00:05.5Z","tm_hangup":"2026-09-01T08:00:47.75Z","tm_create":"2026-09-01T08:00:00.123456Z","tm_update":"2026-09-01T08:00:47.75Z"}}"#;

/// The contact called back, and talked for 17.75 seconds.
pub(crate) const SECOND_ENDED: &str = r#"{"type":"call_hangup","data":{"id":"0de1932c-39ca-4859-8647-240159f8a845","source":{"type":"tel","target":"+15550111"},"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_by":"remote","hangup_reason":"timeout","tm_progressing":"2026-09-01T09:00:00Z","tm_hangup":"2026-09-01T09:00:17.75Z","tm_create":"2026-09-01T08:59:55Z","tm_update":"2026-09-01T09:00:17.75Z"}}"#;
/// Sent before the end, and overtaken by it.
pub(crate) const SECOND_ANSWERED: &str = r#"{"type":"call_progressing","data":{"id":"0de1932c-39ca-4859-8647-240159f8a845","source":{"type":"tel","target":"+15550111"},"destination":{"type":"tel","target":"+15550100"},"status":"progressing","direction":"incoming","tm_progressing":"2026-09-01T09:00:00Z","tm_create":"2026-09-01T08:59:55Z","tm_update":"2026-09-01T09:00:00Z"}}"#;

pub(crate) const NULL_SOURCE: &str = r#"{"type":"call_hangup","data":{"id":"6aef63dc-81f4-47a8-aca1-ea10182e100e","source":null,"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_reason":"cancel","tm_hangup":"2026-09-01T10:00:00Z"}}"#;
pub(crate) const EMPTY_SOURCE: &str = r#"{"type":"call_hangup","data":{"id":"143cdb17-576c-4684-96ac-7c595017413f","source":{},"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_reason":"cancel","tm_hangup":"2026-09-01T11:00:00Z"}}"#;
