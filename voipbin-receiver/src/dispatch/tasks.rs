use std::future::Future;

use tokio::spawn;
use tokio::task::JoinHandle;

/// The tasks of jobs that run, by the numbers of their slots. They end with it.
///
/// A `JoinSet` would also tell of each task that it has ended, which its seat does.
#[derive(Default)]
pub(super) struct Tasks(Vec<Option<JoinHandle<()>>>);

impl Tasks {
    pub(super) fn spawn(&mut self, slot: usize, run: impl Future<Output = ()> + Send + 'static) {
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        if let Some(task) = self.0.get_mut(slot) {
            *task = Some(spawn(run));
        }
    }

    /// The slot is given back: nothing of its task is left but its end.
    pub(super) fn ended(&mut self, slot: usize) {
        if let Some(task) = self.0.get_mut(slot) {
            *task = None;
        }
    }

    /// Ends all of them at their next await.
    pub(super) fn abort(&self) {
        self.0.iter().flatten().for_each(JoinHandle::abort);
    }

    /// Waits until all of them have ended. Cancel-safe.
    pub(super) async fn join(&mut self) {
        while let Some(task) = self.0.last_mut() {
            if let Some(task) = task {
                let _ = task.await;
            }
            self.0.pop();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Holds what it is given until it ends.
    async fn holding<T>(held: Arc<T>, until: impl Future<Output = ()>) {
        until.await;
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_all_of_them_can_be_cut_short_and_begun_again() {
        let held = Arc::new(());
        let mut tasks = Tasks::default();
        tasks.spawn(0, holding(Arc::clone(&held), pending()));
        tasks.spawn(2, holding(Arc::clone(&held), async {}));
        assert!(timeout(Duration::from_secs(1), tasks.join()).await.is_err());
        assert_eq!(Arc::strong_count(&held), 2);
        tasks.abort();
        tasks.join().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_slot_is_given_back_goes_on_to_its_end() {
        let held = Arc::new(());
        let ends = tokio::time::sleep(Duration::from_secs(1));
        let mut tasks = Tasks::default();
        tasks.spawn(0, holding(Arc::clone(&held), ends));
        tasks.ended(0);
        tasks.join().await;
        tasks.abort();
        tokio::time::sleep(Duration::from_millis(999)).await;
        assert_eq!(Arc::strong_count(&held), 2);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_them_end_with_their_owner() {
        let held = Arc::new(());
        let mut tasks = Tasks::default();
        tasks.spawn(0, holding(Arc::clone(&held), pending()));
        drop(tasks);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
