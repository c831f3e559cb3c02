//! Clients of every kind through every mount: whatever the shape of a request, it is answered
//! right, and its event is handled once.
//!
//! Needs `curl`.

mod connections;
mod curl;
mod http2;
mod idle;
mod mounts;
mod platform;
mod rotation;
mod shapes;
mod stand_in;
mod waiting;
mod ways;

use mounts::Mount;

/// Each of these runs through each mount, by the name of its file.
macro_rules! through_every_mount {
    ($($table:tt)+) => {
        through! { #[tokio::test(flavor = "multi_thread", worker_threads = 2)] actix Actix $($table)+ }
        through! { #[tokio::test(flavor = "multi_thread", worker_threads = 2)] alone Alone $($table)+ }
        through! { #[tokio::test(flavor = "multi_thread", worker_threads = 2)] axum Axum $($table)+ }
        through! { #[tokio::test(flavor = "multi_thread", worker_threads = 2)] hyper Hyper $($table)+ }
    };
}

macro_rules! through {
    (#[$runtime:meta] $name:ident $mount:ident $($file:ident { $($test:ident)+ })+) => {
        mod $name {
            $(mod $file {
                $(#[$runtime]
                async fn $test() {
                    support::within(crate::clients::$file::$test(crate::clients::Mount::$mount)).await;
                })+
            })+
        }
    };
}

through_every_mount! {
    platform {
        the_captured_request_is_received
        its_request_may_come_in_two_pieces_cut_anywhere
        it_delivers_once_and_its_copy_is_a_duplicate
        its_burst_over_many_connections_is_handled_once
        it_gives_up_after_three_tries_at_a_receiver_that_shuts_down
        it_delivers_with_its_third_try_what_was_refused_twice
    }
    ways {
        every_shape_of_request_is_answered_right_however_it_is_written
        one_connection_carries_every_shape_one_after_the_other
        every_shape_can_be_sent_before_the_first_is_answered
        a_head_request_gets_a_405_without_a_body
        the_type_of_a_body_reaches_its_handler_as_it_was_written
    }
    connections {
        a_client_that_closes_its_side_is_answered_where_the_server_can_and_loses_nothing
        a_client_that_leaves_in_its_request_leaves_nothing_behind
        an_event_whose_client_leaves_before_the_answer_is_handled_once
        of_200_identical_deliveries_at_once_exactly_one_is_handled
    }
    waiting {
        a_client_that_waits_for_it_is_told_to_continue
        a_client_that_does_not_wait_to_be_told_is_received
        a_client_that_waits_is_refused_before_it_sends_a_body_over_the_limit
        a_body_that_does_not_come_in_time_is_asked_for_again
    }
    curl {
        each_of_its_ways_to_send_an_event_is_received
        a_body_at_the_limit_is_received_and_one_byte_more_is_refused
    }
    rotation {
        no_request_is_refused_and_none_is_accepted_with_a_retired_secret
    }
}

// The crate's own server once more, with TLS before all that.
through! {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)] tls Tls
    platform {
        the_captured_request_is_received
        its_request_may_come_in_two_pieces_cut_anywhere
    }
    ways {
        every_shape_of_request_is_answered_right_however_it_is_written
        one_connection_carries_every_shape_one_after_the_other
        every_shape_can_be_sent_before_the_first_is_answered
        a_head_request_gets_a_405_without_a_body
    }
    connections {
        a_client_that_closes_its_side_is_answered_where_the_server_can_and_loses_nothing
    }
    waiting {
        a_client_that_waits_for_it_is_told_to_continue
        a_client_that_does_not_wait_to_be_told_is_received
        a_client_that_waits_is_refused_before_it_sends_a_body_over_the_limit
        a_body_that_does_not_come_in_time_is_asked_for_again
    }
}
