use tokio::sync::watch;
use voipbin_receiver::testing::Recorder;
use voipbin_receiver::{Context, EventHandler, HandlerError, async_trait};

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
