use clap::error::Error;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// The settings of features that this build does not have.
///
/// They are refused wherever they are given, and not passed over: a server without the certificate,
/// the limits or the disk that somebody has set would look as if all were well.
pub(super) struct LeftOut;

impl LeftOut {
    fn settings() -> impl Iterator<Item = Arg> {
        let features = [
            (
                "disk",
                cfg!(feature = "disk"),
                &["directory", "recreate_inbox", "inbox_memory"][..],
            ),
            (
                "disk",
                cfg!(any(feature = "disk", feature = "postgres")),
                &["retain_done", "retain_dead"],
            ),
            (
                "history",
                cfg!(feature = "history"),
                &[
                    "catch_up",
                    "catch_up_requests",
                    "api",
                    "api_ca",
                    "credential_file",
                ],
            ),
            (
                "inspector",
                cfg!(feature = "inspector"),
                &["inspector_listen", "inspector_token_file", "no_inspector"],
            ),
            (
                "postgres",
                cfg!(feature = "postgres"),
                &[
                    "database_url",
                    "database_url_file",
                    "database_schema",
                    "require_standby",
                    "lease",
                    "role",
                ],
            ),
            ("metrics", cfg!(feature = "metrics"), &["metrics_listen"]),
            (
                "rate-limit",
                cfg!(feature = "rate-limit"),
                &["source_rate_limit", "rate_limit"],
            ),
            (
                "tls",
                cfg!(feature = "tls"),
                &["tls_cert", "tls_key", "handshake_timeout"],
            ),
        ];
        let missing = features.into_iter().filter(|(_, built_in, _)| !built_in);
        missing.flat_map(|(feature, _, keys)| keys.iter().map(move |key| refused(key, feature)))
    }
}

fn refused(key: &'static str, feature: &'static str) -> Arg {
    let why = format!("this build leaves it out; build it with `--features {feature}`");
    Arg::new(key)
        .long(key.replace('_', "-"))
        .env(format!("VOIPBIN_{}", key.to_uppercase()))
        .hide(true)
        .value_parser(move |_: &str| Err::<String, _>(why.clone()))
}

#[test]
fn a_setting_that_a_build_leaves_out_is_refused_with_the_feature_that_has_it() {
    let command = Command::new("standalone").arg(refused("rate_limit", "rate-limit"));
    let said = command.try_get_matches_from(["standalone", "--rate-limit", "5/s"]);
    let said = said.map_err(|error| error.to_string());
    assert!(said.is_err_and(|said| said.contains("`--features rate-limit`")));
}

impl Args for LeftOut {
    fn augment_args(command: Command) -> Command {
        command.args(Self::settings())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LeftOut {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        Ok(())
    }
}
