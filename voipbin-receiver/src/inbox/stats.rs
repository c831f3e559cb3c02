/// How full an inbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxStats {
    /// Events that are kept and not finished: some of their jobs are neither done nor dead.
    pub events: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Identities that are remembered, those of possible repeats included.
    pub identities: usize,
    /// Identities that were forgotten before their time because there were too many.
    pub evicted: u64,
    /// Jobs that wait for the time of their next attempt.
    pub delayed: usize,
    /// Jobs for handlers that are not registered in this process.
    pub held: usize,
    /// Jobs that ended as dead letters and are still there to be looked at.
    pub dead: usize,
    /// Dead letters that were dropped, since the inbox was opened, because there were too many.
    pub dead_dropped: u64,
    /// How many events that are dead letters there may be; `None` where there is no limit.
    pub max_dead: Option<usize>,
    /// Whether dead letters take four fifths of the room that there is for them, or more: when it
    /// is full, the oldest are dropped.
    pub dead_nearly_full: bool,
    /// Events whose bytes turned out to be damaged when they were to be handled: dead letters too.
    pub damaged: usize,
    /// Events that are to be handed out and cannot be read at present, as the disk does not give
    /// them: that is tried again each second.
    pub stuck: usize,
    /// Whether it holds as many events or bytes as it may: new events are refused.
    pub full: bool,
    /// Whether the store cannot be written, at present or for good: new events are refused until it
    /// can.
    pub failing: bool,
    /// What the store takes on disk, in bytes.
    pub disk_bytes: u64,
    /// How many `events` there may be; `None` where there is no limit.
    pub max_events: Option<usize>,
    /// How many `used_bytes` there may be; `None` where there is no limit.
    pub max_bytes: Option<u64>,
    /// Bytes that count towards `max_bytes`: those of bodies of unfinished events, and of dead
    /// letters where these take the same room.
    pub used_bytes: u64,
}
