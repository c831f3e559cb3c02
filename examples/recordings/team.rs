use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use voipbin_receiver::{HandlerError, Identity};

/// How long the mail server may take for each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The people who listen to recordings.
#[derive(Clone)]
pub(crate) struct Team {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Mailbox,
}

impl Team {
    /// Behind a mail server on this machine that wants neither TLS nor a password.
    ///
    /// For any other, turn on lettre's feature `tokio1-rustls` with `ring` and `webpki-roots`,
    /// begin with `AsyncSmtpTransport::relay("mail.example.org")?` instead of `builder_dangerous`,
    /// and add `.credentials(Credentials::new(user, password))`.
    pub(crate) fn new(host: &str, port: u16, from: Mailbox, to: Mailbox) -> Self {
        Self {
            server: AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
                .port(port)
                .timeout(Some(TIMEOUT))
                .build(),
            from,
            to,
        }
    }

    /// Sends one mail. `delivery` becomes its `Message-ID`: should a handler run twice, mail
    /// programs show the mail once.
    pub(crate) async fn tell(
        &self,
        recording: &str,
        length: Option<Duration>,
        files: &[String],
        delivery: Identity,
    ) -> Result<(), HandlerError> {
        let length = length.map_or_else(
            || "of unknown length".to_owned(),
            |length| format!("{} s long", length.as_secs()),
        );
        let mail = Message::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject(format!("Recording {recording}"))
            .message_id(Some(format!("<{delivery}@voipbin-receiver>")))
            .header(ContentType::TEXT_PLAIN)
            .body(format!(
                "The recording {recording} is {length}. Its files:\n\n{}\n",
                files.join("\n")
            ))?;
        self.server.send(mail).await.map_err(refused)?;
        Ok(())
    }
}

/// The answers of mail servers tend to repeat the recipient's address, which does not belong in a
/// log.
fn refused(error: SmtpError) -> HandlerError {
    HandlerError::new(match error.status() {
        Some(code) => {
            format!("the mail server refused the mail with {code}; ask its administrator")
        }
        None if error.is_timeout() => "the mail server did not answer in time".to_owned(),
        None => "the mail server cannot be reached; check its host and port".to_owned(),
    })
}
