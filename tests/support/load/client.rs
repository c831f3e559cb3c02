use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::connection::{Advance, Connection};
use super::requests::Requests;
use super::{Load, Pace, Sent};
use crate::figures::{Round, micros};
use crate::process::{cpu_of, may_open_many, memory_of};

/// How long all that is on its way may take to be answered at the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that are opened before it is sure that the server has them: more wait in no queue.
const UNSURE: usize = 512;

pub(super) struct Client {
    load: Load,
    requests: Requests,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// Places of connections that nothing is on its way on.
    idle: VecDeque<usize>,
    /// Whether a connection sends again as soon as it is answered.
    again: bool,
    /// How many requests have left.
    left: usize,
    answered: BTreeMap<u16, usize>,
    reopened: usize,
    window: Window,
}

/// While the clock runs.
#[derive(Default)]
struct Window {
    opens: Option<Instant>,
    opened: Option<Opened>,
    /// What was due before does not count. Without it, what is answered before it opens does not.
    since: Option<Instant>,
    closed: Option<Closed>,
    times: Vec<u32>,
    /// How long there was nothing to do.
    idle: Duration,
}

struct Opened {
    at: Instant,
    server: Option<Duration>,
    own: Option<Duration>,
}

struct Closed {
    took: Duration,
    server: Option<Duration>,
    own: Option<Duration>,
}

impl Client {
    pub(super) fn new(load: Load) -> Self {
        may_open_many();
        let count = match load.pace {
            Pace::Closed { requests, .. } => requests,
            Pace::Open { rate, lead, time } => (rate * (lead + time).as_secs_f64()) as usize,
        };
        let count = count + load.connections / UNSURE;
        Self {
            requests: Requests::sign(&load, count),
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            connections: Vec::with_capacity(load.connections),
            idle: VecDeque::with_capacity(load.connections),
            again: false,
            left: 0,
            answered: BTreeMap::new(),
            reopened: 0,
            window: Window {
                times: Vec::with_capacity(count),
                ..Window::default()
            },
            load,
        }
    }

    pub(super) fn send(mut self) -> Sent {
        self.connect();
        let begun = Instant::now();
        match self.load.pace {
            Pace::Closed { lead, time, .. } => self.closed(begun, lead, time),
            Pace::Open { rate, lead, .. } => self.open(begun, rate, lead),
        }
        self.sent()
    }

    /// Opens all connections. A server takes them in order, so that it has all when it answers on
    /// the last of them.
    fn connect(&mut self) {
        for place in 0..self.load.connections {
            let registry = self.poll.registry();
            let connection = Connection::open(self.load.address, registry, place, &self.requests);
            self.connections.push(connection);
            if (place + 1) % UNSURE == 0 {
                self.depart(place, Instant::now());
                self.finish();
            } else {
                self.idle.push_back(place);
            }
        }
        self.settle();
    }

    /// Opens again what a busy server has closed while others were opened.
    fn settle(&mut self) {
        loop {
            self.poll
                .poll(&mut self.events, Some(Duration::ZERO))
                .unwrap();
            if self.events.is_empty() {
                return;
            }
            for event in &self.events {
                let place = event.token().0;
                let connection = &mut self.connections[place];
                if let Advance::Closed = connection.advance() {
                    connection.reopen(self.load.address, self.poll.registry(), place);
                    self.reopened += 1;
                }
            }
        }
    }

    /// As many on their way as there are connections.
    fn closed(&mut self, begun: Instant, lead: Duration, time: Option<Duration>) {
        let ends = time.map(|time| begun + lead + time);
        self.window.opens = Some(begun + lead);
        self.window.open(begun, &self.load.server);
        self.again = true;
        while self.left < self.requests.count() {
            let Some(place) = self.idle.pop_front() else {
                break;
            };
            self.depart(place, Instant::now());
        }
        let mut now = begun;
        while self.idle.len() < self.connections.len() && ends.is_none_or(|ends| now < ends) {
            now = self.wait(self.load.awake.then_some(now));
        }
        self.again = false;
        self.window.close(&self.load.server);
        self.finish();
    }

    /// Each when it is due, or as soon after that as a connection is free.
    fn open(&mut self, begun: Instant, rate: f64, lead: Duration) {
        self.window.opens = Some(begun + lead);
        self.window.since = Some(begun + lead);
        self.window.open(begun, &self.load.server);
        let first = self.left;
        let due = |number: usize| begun + Duration::from_secs_f64((number - first) as f64 / rate);
        let count = self.requests.count();
        let mut now = begun;
        while self.left < count {
            while self.left < count && due(self.left) <= now {
                let Some(place) = self.idle.pop_front() else {
                    break;
                };
                self.depart(place, due(self.left));
            }
            let waits = self.left < count && !self.idle.is_empty();
            now = self.wait(waits.then(|| due(self.left)));
        }
        self.finish();
        self.window.close(&self.load.server);
    }

    fn depart(&mut self, place: usize, since: Instant) {
        self.connections[place].send(&self.requests, self.left, since);
        self.left += 1;
    }

    /// What has left is answered.
    fn finish(&mut self) {
        let begun = Instant::now();
        while self.idle.len() < self.connections.len() {
            let now = self.wait(Some(begun + PATIENCE));
            assert!(now - begun < PATIENCE, "the server does not answer");
        }
    }

    /// Waits for answers until a time, and takes in those that came.
    fn wait(&mut self, until: Option<Instant>) -> Instant {
        // The system counts in milliseconds: less than that is waited for without its help.
        let begun = Instant::now();
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(begun);
            Duration::from_millis((left.as_millis() as u64).saturating_sub(1))
        });
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            polled => polled.unwrap(),
        }
        let mut now = Instant::now();
        self.window.open(now, &self.load.server);
        if timeout.is_none_or(|timeout| !timeout.is_zero()) || self.events.is_empty() {
            self.window.idle += now - begun;
        }
        for event in &self.events {
            let place = event.token().0;
            let connection = &mut self.connections[place];
            let closes = match connection.advance() {
                Advance::Waits => continue,
                Advance::Closed => true,
                Advance::Answered(answer, since) => {
                    now = Instant::now();
                    self.window.answered(since, now);
                    *self.answered.entry(answer.status).or_default() += 1;
                    self.idle.push_back(place);
                    answer.closes
                }
            };
            if closes {
                connection.reopen(self.load.address, self.poll.registry(), place);
                self.reopened += 1;
            }
            if self.again
                && self.left < self.requests.count()
                && let Some(place) = self.idle.pop_front()
            {
                self.connections[place].send(&self.requests, self.left, now);
                self.left += 1;
            }
        }
        now
    }

    fn sent(mut self) -> Sent {
        let closed = self.window.closed.take().unwrap();
        let opened = self.window.opened.take();
        let between = |after: Option<Duration>, before: fn(&Opened) -> Option<Duration>| {
            Some(after?.saturating_sub(before(opened.as_ref()?)?))
        };
        let took = closed.took.as_secs_f64();
        let server = between(closed.server, |opened| opened.server);
        let own = between(closed.own, |opened| opened.own);
        let waited = 1.0 - self.window.idle.as_secs_f64() / took;
        let counted = self.window.times.len() as f64;
        Sent {
            requests: self.left,
            answered: self.answered,
            round: Round::new(&mut self.window.times, closed.took),
            server_cpu: server.map(|server| server.as_secs_f64() * 1e6 / counted),
            server_memory: memory_of(&self.load.server, "VmRSS:"),
            busy: match (self.load.pace, own) {
                (Pace::Closed { .. }, Some(own)) if !self.load.awake => own.as_secs_f64() / took,
                _ => waited,
            },
            reopened: self.reopened,
        }
    }
}

impl Window {
    /// Opens it when its time has come.
    fn open(&mut self, now: Instant, server: &[u32]) {
        if self.opens.is_some_and(|opens| now >= opens) {
            self.opens = None;
            self.idle = Duration::ZERO;
            self.opened = Some(Opened {
                at: now,
                server: cpu_of(server),
                own: cpu_of(&[std::process::id()]),
            });
        }
    }

    fn answered(&mut self, since: Instant, now: Instant) {
        let counts = match self.since {
            Some(from) => since >= from,
            None => self.opened.is_some() && self.closed.is_none(),
        };
        if counts {
            self.times.push(micros(now - since));
        }
    }

    fn close(&mut self, server: &[u32]) {
        let opened = self.opened.as_ref().expect("it ended before its clock ran");
        self.closed = Some(Closed {
            took: opened.at.elapsed(),
            server: cpu_of(server),
            own: cpu_of(&[std::process::id()]),
        });
    }
}
