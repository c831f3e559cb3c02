use serde_json::Value;

/// Every shape came to the end that is right for it; the number of events that were delivered.
pub(crate) fn check(smuggling: &Value) -> u64 {
    let refused = smuggling["refused"].as_array().unwrap();
    for shape in refused {
        let end = shape["end"].as_array().unwrap_or_else(|| panic!("{shape}"));
        // A 503 where the body broke: for the receiver, what came of it may come again as a whole.
        let refusal = |status: &Value| {
            let status = status.as_u64().unwrap();
            (400..500).contains(&status) || status == 503
        };
        assert!(end.len() <= 1 && end.iter().all(refusal), "{shape}");
    }
    let one = smuggling["one"].as_array().unwrap();
    for shape in one {
        assert_eq!(shape["end"], serde_json::json!([200]), "{shape}");
    }
    one.len() as u64
}
