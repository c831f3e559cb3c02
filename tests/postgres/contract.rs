use voipbin_receiver::inbox::PostgresInbox;
use voipbin_receiver::testing::inbox_contract;

use crate::server::{inbox, pooled_url, schema};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    inbox_contract::check(inbox).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_through_a_pooler_in_transaction_mode() {
    let make = async || {
        let builder = PostgresInbox::builder(pooled_url()).schema(schema());
        builder.polling().connect().await.unwrap()
    };
    inbox_contract::check(make).await.unwrap();
}
