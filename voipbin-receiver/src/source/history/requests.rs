use http::Method;
use serde::de::DeserializeOwned;

use super::settings::CatchUp;
use crate::platform::{Platform, PlatformError};

/// What may be asked of the platform.
pub(super) struct Requests {
    platform: Platform,
    made: u32,
    budget: u32,
}

/// Why no more is asked.
pub(super) enum Stop {
    Budget,
    Failed(PlatformError),
}

impl Requests {
    pub(super) fn new(settings: &CatchUp) -> Self {
        Self {
            platform: settings.platform.clone(),
            made: 0,
            budget: settings.budget,
        }
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Stop> {
        if self.made == self.budget {
            return Err(Stop::Budget);
        }
        self.made += 1;
        let answer = self.platform.ask(Method::GET, path, None::<&()>).await;
        answer.map_err(Stop::Failed)
    }
}
