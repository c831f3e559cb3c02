use std::process::Stdio;

use tokio::process::Command;

use crate::patiently;
use crate::server::host;

#[tokio::test]
async fn the_crm_on_postgresql_counts_each_call_once_by_either_driver() {
    let program = support::example("crm-postgres").await;
    let host = host().replace('/', "%2F");
    for driver in [None, Some("sqlx")] {
        let mut crm = Command::new(&program);
        crm.args(driver)
            .env_clear()
            .env(
                "DATABASE_URL",
                format!("postgresql://postgres@{host}/postgres"),
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = patiently(crm.output()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{:?}", output.stderr);
        assert!(text.ends_with("ok  notes that are left: 0\n"), "{text}");
    }
}
