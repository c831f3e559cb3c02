//! Runs jobs one at a time, for the test kit.

use tokio::sync::oneshot;

use super::dispatcher::Dispatch;
use super::run::run;
use crate::inbox::Job;
use crate::sync::Arc;

impl Dispatch {
    /// Runs the next job that may run now: the job, and what resolves when it has ended.
    pub(crate) fn step(self: &Arc<Self>) -> Option<(Job, oneshot::Receiver<()>)> {
        // Resumes parked jobs that are due.
        self.plan(|_| false);
        let (key, job, permit) = self.next(false)?;
        let (ended, ending) = oneshot::channel();
        let run = run(permit, Arc::clone(self), key, job.clone());
        let run = async move {
            run.await;
            // The step may have timed out.
            let _ = ended.send(());
        };
        self.start_workers().go_on(Box::pin(run));
        Some((job, ending))
    }
}
