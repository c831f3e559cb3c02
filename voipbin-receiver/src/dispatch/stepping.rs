//! Jobs that somebody else than the workers lets run, one at a time.

use tokio::sync::oneshot;

use super::dispatcher::Dispatch;
use super::run::run;
use crate::inbox::Job;
use crate::sync::Arc;

impl Dispatch {
    /// Lets the next job run that may now, and gives it, and when it has ended.
    pub(crate) fn step(self: &Arc<Self>) -> Option<(Job, oneshot::Receiver<()>)> {
        // What is due by now is let go on.
        self.plan(|_| false);
        let (key, job, permit) = self.next()?;
        let (ended, ending) = oneshot::channel();
        let run = run(permit, Arc::clone(self), key, job.clone());
        let run = async move {
            run.await;
            // Nobody listens to a run that took too long for a step.
            let _ = ended.send(());
        };
        self.start_workers().go_on(Box::pin(run));
        Some((job, ending))
    }
}
