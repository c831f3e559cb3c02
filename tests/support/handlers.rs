use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};
use voipbin_receiver::{Context, EventHandler, HandlerError, async_trait};

/// A handler that passes on every run, so that a test can await it.
#[derive(Clone)]
pub struct Recorder {
    runs: mpsc::UnboundedSender<Context>,
    seen: Arc<Mutex<mpsc::UnboundedReceiver<Context>>>,
}

impl Recorder {
    /// A recorder with nothing in it.
    #[allow(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        let (runs, seen) = mpsc::unbounded_channel();
        Self {
            runs,
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// Waits for the next run.
    pub async fn next(&self) -> Context {
        self.seen.lock().await.recv().await.unwrap()
    }

    /// The runs that have been recorded and not been looked at. Complete only after a shutdown.
    pub async fn rest(&self) -> Vec<Context> {
        let mut seen = self.seen.lock().await;
        std::iter::from_fn(|| seen.try_recv().ok()).collect()
    }
}

#[async_trait]
impl EventHandler for Recorder {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        Ok(self.runs.send(context)?)
    }
}

/// A handler that hangs until it is opened, and then passes on to a [`Recorder`].
#[derive(Clone)]
pub struct Valve {
    open: watch::Sender<bool>,
    begun: Recorder,
    ended: Recorder,
}

impl Valve {
    /// A closed valve.
    #[allow(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        Self {
            open: watch::Sender::new(false),
            begun: Recorder::new(),
            ended: Recorder::new(),
        }
    }

    /// Lets all runs go on, those that hang and those to come.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// The runs that have begun.
    pub fn begun(&self) -> &Recorder {
        &self.begun
    }

    /// The runs that have ended.
    pub fn ended(&self) -> &Recorder {
        &self.ended
    }
}

#[async_trait]
impl EventHandler for Valve {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        self.begun.handle(context.clone()).await?;
        self.open.subscribe().wait_for(|open| *open).await?;
        self.ended.handle(context).await
    }
}
