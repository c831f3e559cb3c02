//! The settings as they are, to be shown.

use std::ffi::OsStr;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use toml_edit::Value;

use super::file::File;
use crate::settings::Settings;

/// All settings of the server, as a file would say them, and where each comes from. Without
/// secrets.
pub(crate) struct EffectiveSettings(Vec<Setting>);

/// Nobody has set it.
const DEFAULT: &str = "default";

struct Setting {
    key: String,
    /// `None` when nobody has set it and there is no default.
    values: Option<Vec<String>>,
    is_list: bool,
    origin: &'static str,
}

impl EffectiveSettings {
    pub(super) fn of(matches: &ArgMatches, file: Option<&File>) -> Self {
        let settings = Settings::command();
        let settings = settings.get_arguments().filter(|arg| !arg.is_hide_set());
        Self(
            settings
                .map(|arg| Setting::of(arg, matches, file))
                .collect(),
        )
    }
}

#[cfg(feature = "inspector")]
impl EffectiveSettings {
    /// The name of each, its value, and where it comes from.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (String, String, &'static str)> {
        self.0.iter().map(|setting| {
            let values = setting.values.as_ref().map(|values| values.join(", "));
            let value = values.unwrap_or_else(|| "not set".to_owned());
            (setting.key.clone(), value, setting.origin)
        })
    }
}

impl EffectiveSettings {
    /// Whether somebody has set it.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        let setting = self.0.iter().find(|setting| setting.key == key);
        setting.is_some_and(|setting| setting.origin != DEFAULT)
    }
}

impl fmt::Display for EffectiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|setting| match setting.written() {
                Some(written) => writeln!(f, "{written:<48} # {}", setting.origin),
                None => writeln!(f, "# {} is not set", setting.key),
            })
    }
}

impl Setting {
    fn of(arg: &Arg, matches: &ArgMatches, file: Option<&File>) -> Self {
        let key = arg.get_id().as_str();
        let shown = |value: &OsStr| match arg.is_hide_env_values_set() {
            true => "redacted".to_owned(),
            false => value.to_string_lossy().into_owned(),
        };
        let values = matches.get_raw(key);
        Self {
            key: key.to_owned(),
            values: values.map(|values| values.map(shown).collect()),
            is_list: matches!(arg.get_action(), ArgAction::Append),
            origin: match matches.value_source(key) {
                Some(ValueSource::CommandLine) => "flag",
                Some(ValueSource::EnvVariable) => "environment",
                _ if file.is_some_and(|file| file.values(key).is_some()) => "file",
                _ => DEFAULT,
            },
        }
    }

    /// A line of TOML.
    fn written(&self) -> Option<String> {
        let values: Vec<String> = self
            .values
            .as_ref()?
            .iter()
            .map(|value| quoted(value))
            .collect();
        let values = values.join(", ");
        Some(match self.is_list {
            true => format!("{} = [{values}]", self.key),
            false => format!("{} = {values}", self.key),
        })
    }
}

/// A value of TOML: a number or a boolean without quotes.
pub(super) fn quoted(value: &str) -> String {
    let number = value.parse::<i64>().map(Value::from).ok();
    let boolean = || value.parse::<bool>().map(Value::from).ok();
    number
        .or_else(boolean)
        .unwrap_or_else(|| Value::from(value))
        .to_string()
}
