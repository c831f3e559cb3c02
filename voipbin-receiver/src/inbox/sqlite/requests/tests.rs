use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{FILE, Request, RequestError, Response, connect, send, serve};
use crate::inbox::sqlite::LOCK_FILE;
use crate::inbox::sqlite::lock::DirLock;

fn count(asked: &Request) -> Response {
    match asked {
        Request::Discard { ids } => Response::Discarded(ids.len()),
        other => Response::Failed(format!("{other:?}")),
    }
}

fn discard(ids: i64) -> Request {
    Request::Discard {
        ids: (0..ids).collect(),
    }
}

#[test]
fn what_is_asked_is_answered_to_whoever_asked_and_nothing_is_left_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let _lock = DirLock::acquire(path, LOCK_FILE).unwrap();
    let _server = serve(path, |asked| count(&asked)).unwrap();
    thread::scope(|scope| {
        for ids in 1..=8 {
            scope.spawn(move || {
                let answer = send(path, &discard(ids)).unwrap();
                assert!(matches!(answer, Response::Discarded(count) if count as i64 == ids));
            });
        }
    });
    let left = connect(&path.join(FILE), Duration::from_secs(5)).unwrap();
    let left: i64 = left
        .query_row("SELECT count(*) FROM request", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_request_of_another_release_is_answered_so() {
    let directory = tempfile::tempdir().unwrap();
    let _lock = DirLock::acquire(directory.path(), LOCK_FILE).unwrap();
    let _server = serve(directory.path(), |asked| count(&asked)).unwrap();
    let table = connect(&directory.path().join(FILE), Duration::from_secs(5)).unwrap();
    table
        .execute("INSERT INTO request (asked) VALUES ('{\"Dance\":{}}')", [])
        .unwrap();
    let answer = loop {
        let select = "SELECT answer FROM request WHERE answer IS NOT NULL";
        if let Ok(answer) = table.query_row(select, [], |row| row.get::<_, String>(0)) {
            break answer;
        }
    };
    assert!(answer.contains("does not know"), "{answer}");
}

/// As one that is stopped in the middle.
#[test]
fn a_tool_that_has_the_table_holds_up_the_answer_and_nothing_is_done_twice() {
    let directory = tempfile::tempdir().unwrap();
    let _lock = DirLock::acquire(directory.path(), LOCK_FILE).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let (counted, (began, begun)) = (Arc::clone(&done), mpsc::channel());
    let (go, goes) = mpsc::channel::<()>();
    let execute = move |asked: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        began.send(()).unwrap();
        goes.recv().unwrap();
        count(&asked)
    };
    let _server = serve(directory.path(), execute).unwrap();
    let path = directory.path().to_owned();
    let asking = thread::spawn(move || send(&path, &discard(3)));
    begun.recv().unwrap();
    let table = connect(&directory.path().join(FILE), Duration::from_secs(5)).unwrap();
    table.execute_batch("BEGIN IMMEDIATE").unwrap();
    go.send(()).unwrap();
    // It looks every 200 ms, and would begin again.
    assert!(begun.recv_timeout(Duration::from_millis(600)).is_err());
    table.execute_batch("COMMIT").unwrap();
    let answer = asking.join().unwrap().unwrap();
    assert!(matches!(answer, Response::Discarded(3)), "{answer:?}");
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn who_asks_is_told_when_the_process_ends_and_what_it_left_is_not_carried_out_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let lock = DirLock::acquire(directory.path(), LOCK_FILE).unwrap();
    let (server, thread) = serve(directory.path(), |asked| count(&asked)).unwrap();
    drop(server);
    thread.join().unwrap();
    let path = directory.path().to_owned();
    let asking = thread::spawn(move || send(&path, &discard(1)));
    let table = connect(&directory.path().join(FILE), Duration::from_secs(5)).unwrap();
    let since = Instant::now();
    loop {
        let sql = "SELECT count(*) FROM request";
        let count: i64 = table.query_row(sql, [], |row| row.get(0)).unwrap();
        if count == 1 {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30));
    }
    drop(lock);
    let ended = asking.join().unwrap();
    assert!(matches!(ended, Err(RequestError::Ended)), "{ended:?}");
    let never = |_| panic!("it was asked of another process");
    let _server = serve(directory.path(), never).unwrap();
    let sql = "SELECT count(*) FROM request";
    let left: i64 = table.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_torn_table_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let _lock = DirLock::acquire(directory.path(), LOCK_FILE).unwrap();
    std::fs::write(directory.path().join(FILE), vec![0xa5; 5000]).unwrap();
    let _server = serve(directory.path(), |asked| count(&asked)).unwrap();
    let answer = send(directory.path(), &discard(2)).unwrap();
    assert!(matches!(answer, Response::Discarded(2)), "{answer:?}");
}
