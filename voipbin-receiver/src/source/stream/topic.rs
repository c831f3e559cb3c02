use crate::catalog::{CATALOG, EventType, Status};

/// The topic of one type of event, of which the platform sends a single copy of each.
pub(super) fn topic(customer: &str, event_type: &EventType) -> String {
    let name = event_type.as_str();
    let segment = name.split('_').next().unwrap_or_default();
    // Topics are prefixes, and one name begins as another one does.
    let end = match is_prefix(name) {
        true => ":",
        false => "",
    };
    format!("customer_id:{customer}:{segment}:{name}{end}")
}

fn is_prefix(name: &str) -> bool {
    let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
    let mut others = sent.filter(|entry| entry.name != name);
    others.any(|entry| entry.name.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_four_parts_and_names_one_type() {
        let of = |name: &str| topic("c", &EventType::parse(name));
        assert_eq!(of("call_hangup"), "customer_id:c:call:call_hangup");
        assert_eq!(
            of("conversation_message_created"),
            "customer_id:c:conversation:conversation_message_created"
        );
        assert_eq!(
            of("mcp_server_created"),
            "customer_id:c:mcp:mcp_server_created"
        );
        assert_eq!(
            of("campaign_status_stop"),
            "customer_id:c:campaign:campaign_status_stop:"
        );
        let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
        for one in sent.clone() {
            for other in sent.clone().filter(|other| other.name != one.name) {
                let event = format!("{}:id", topic("c", &EventType::parse(other.name)));
                assert!(!event.starts_with(&of(one.name)), "{event}");
            }
        }
    }
}
