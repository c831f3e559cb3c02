//! Answers what a tool asks, from an inbox: the server's, or one that the tool opened itself.

use std::time::SystemTime;

use tokio::sync::mpsc;
use voipbin_receiver::event::Time;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Record, RecordFilter, RecordId, RecordState, Records, RecordsError, RecordsErrorKind,
};

use super::protocol::{Answer, Ask, Detail, Event, Page, Which};

/// How many answers may wait for whoever reads them.
const WAITING: usize = 16;

/// How many events are read at once; with their bodies, so not too many.
const AT_ONCE: usize = 64;

/// How many events are given up at once.
const TOGETHER: usize = 1024;

/// Where the answers go, and where they come from.
pub(crate) fn channel() -> (Answers, mpsc::Receiver<Answer>) {
    let (to, from) = mpsc::channel(WAITING);
    (Answers(to), from)
}

pub(crate) struct Answers(mpsc::Sender<Answer>);

/// Why there will be no more answers.
enum Over {
    /// Nobody reads them.
    Gone,
    Failed(RecordsError),
}

impl From<RecordsError> for Over {
    fn from(error: RecordsError) -> Self {
        Self::Failed(error)
    }
}

impl Answers {
    async fn give(&self, answer: Answer) -> Result<(), Over> {
        self.0.send(answer).await.map_err(|_| Over::Gone)
    }

    pub(crate) async fn fail(self, why: String) {
        let _ = self.give(Answer::Failed { why }).await;
    }
}

/// Answers, and ends when nobody reads the answers.
pub(crate) async fn answer(records: &dyn Records, ask: Ask, to: Answers) {
    let answered = match ask {
        Ask::List { which, detail } => list(records, &which, detail, &to).await,
        Ask::Show { id, detail } => show(records, id, detail, &to).await,
        Ask::Replay { which, by, dry_run } => {
            let by = by.map(|by| by.iter().map(|name| HandlerName::new(name)).collect());
            replay(records, which, by, dry_run, &to).await
        }
        Ask::Discard { which, dry_run } => discard(records, which, dry_run, &to).await,
        Ask::Purge {
            ended_before,
            dead,
            dry_run,
        } => purge(records, ended_before, dead, dry_run, &to).await,
    };
    match answered {
        Ok(()) => {
            let _ = to.give(Answer::End).await;
        }
        Err(Over::Gone) => {}
        Err(Over::Failed(error)) => to.fail(crate::terminal::in_full(&error)).await,
    }
}

/// Goes through the events that a filter takes.
struct Search<'a> {
    records: &'a dyn Records,
    filter: RecordFilter,
    after: Option<RecordId>,
    left: u64,
    over: bool,
}

impl<'a> Search<'a> {
    fn new(records: &'a dyn Records, page: &Page) -> Self {
        Self {
            after: page.after.map(RecordId::new),
            left: page.most.unwrap_or(u64::MAX),
            ..Self::of(records, page.filter.build())
        }
    }

    /// All of them.
    fn of(records: &'a dyn Records, filter: RecordFilter) -> Self {
        Self {
            records,
            filter,
            after: None,
            left: u64::MAX,
            over: false,
        }
    }

    /// The next few of them, none at the end.
    async fn next(&mut self) -> Result<Vec<Record>, RecordsError> {
        let most = usize::try_from(self.left).map_or(AT_ONCE, |left| left.min(AT_ONCE));
        if self.over || most == 0 {
            return Ok(Vec::new());
        }
        let page = self.records.list(&self.filter, self.after, most).await?;
        self.left = self.left.saturating_sub(page.records.len() as u64);
        self.over = page.next.is_none();
        self.after = page.next;
        Ok(page.records)
    }

    /// The numbers of all of them.
    async fn ids(mut self) -> Result<Vec<RecordId>, RecordsError> {
        let mut ids = Vec::new();
        loop {
            let found = self.next().await?;
            if found.is_empty() {
                return Ok(ids);
            }
            ids.extend(found.iter().map(|record| record.id));
        }
    }
}

async fn list(
    records: &dyn Records,
    page: &Page,
    detail: Detail,
    to: &Answers,
) -> Result<(), Over> {
    let mut search = Search::new(records, page);
    loop {
        let found = search.next().await?;
        if found.is_empty() {
            break;
        }
        for record in &found {
            to.give(told(record, detail)?).await?;
        }
    }
    if let Some(after) = search.after {
        to.give(Answer::More { after: after.get() }).await?;
    }
    Ok(())
}

fn told(record: &Record, detail: Detail) -> Result<Answer, RecordsError> {
    let event = Event::of(record, detail).map_err(RecordsError::storage)?;
    Ok(Answer::Event(Box::new(event)))
}

async fn show(records: &dyn Records, id: u64, detail: Detail, to: &Answers) -> Result<(), Over> {
    let found = records.get(RecordId::new(id)).await?;
    to.give(match found {
        Some(record) => told(&record, detail)?,
        None => Answer::NotFound { id },
    })
    .await
}

async fn replay(
    records: &dyn Records,
    which: Which,
    by: Option<Vec<HandlerName>>,
    dry_run: bool,
    to: &Answers,
) -> Result<(), Over> {
    // All of them first: what is handled again comes at the end, and would be found again.
    for ids in numbers(records, which).await?.chunks(AT_ONCE) {
        let mut replays = Vec::with_capacity(ids.len());
        if dry_run {
            for id in ids {
                let found = records.get(*id).await?;
                replays.push(found.map(|_| None).ok_or_else(RecordsError::not_found));
            }
        } else {
            let replayed = records.replay_many(ids, by.as_deref()).await;
            replays.extend(replayed.into_iter().map(|replay| replay.map(Some)));
        }
        for (id, replayed) in ids.iter().zip(replays) {
            let id = id.get();
            to.give(match replayed.map_err(|error| (error.kind(), error)) {
                Ok(replay) => Answer::Replayed {
                    id,
                    replay: replay.map(RecordId::get),
                },
                Err((RecordsErrorKind::NotFound, _)) => Answer::NotFound { id },
                Err((RecordsErrorKind::Replayed, _)) => Answer::ReplayedBefore { id },
                Err((_, error)) => return Err(error.into()),
            })
            .await?;
        }
    }
    Ok(())
}

async fn discard(
    records: &dyn Records,
    which: Which,
    dry_run: bool,
    to: &Answers,
) -> Result<(), Over> {
    if let Which::Matching(page) = &which
        && !dry_run
        && page.after.is_none()
        && page.most.is_none()
    {
        let events = records.discard_all(&page.filter.build()).await?;
        return to.give(Answer::Discarded { events }).await;
    }
    let named = matches!(which, Which::Ids(_));
    let mut ids = numbers(records, which).await?;
    if named {
        ids.sort_unstable();
        ids.dedup();
        let mut there = Vec::with_capacity(ids.len());
        for id in ids {
            match records.get(id).await? {
                Some(_) => there.push(id),
                None => to.give(Answer::NotFound { id: id.get() }).await?,
            }
        }
        ids = there;
    }
    give_up(records, &ids, dry_run, to).await
}

async fn purge(
    records: &dyn Records,
    ended_before: Time,
    dead: bool,
    dry_run: bool,
    to: &Answers,
) -> Result<(), Over> {
    // Before the first time that there is nothing has ended.
    let ended_before = ended_before
        .to_system_time()
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let mut filter = RecordFilter::new().ended_before(ended_before);
    if !dead {
        filter = filter.state(RecordState::Done);
    }
    let over = Search::of(records, filter).ids().await?;
    give_up(records, &over, dry_run, to).await
}

async fn numbers(records: &dyn Records, which: Which) -> Result<Vec<RecordId>, RecordsError> {
    match which {
        Which::Ids(ids) => Ok(ids.into_iter().map(RecordId::new).collect()),
        Which::Matching(page) => Search::new(records, &page).ids().await,
    }
}

async fn give_up(
    records: &dyn Records,
    ids: &[RecordId],
    dry_run: bool,
    to: &Answers,
) -> Result<(), Over> {
    let mut events = 0;
    if dry_run {
        events = ids.len();
    } else {
        for ids in ids.chunks(TOGETHER) {
            match records.discard(ids).await {
                Ok(discarded) => events += discarded,
                Err(error) => {
                    // What was given up before is.
                    to.give(Answer::Discarded { events }).await?;
                    return Err(error.into());
                }
            }
        }
    }
    to.give(Answer::Discarded { events }).await
}
