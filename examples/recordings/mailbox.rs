//! A stand-in for a mail server: as much SMTP as it takes to receive.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The mails that came.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<Mutex<Vec<Mail>>>);

#[derive(Clone, Default)]
pub(crate) struct Mail {
    pub(crate) recipients: usize,
    pub(crate) text: String,
}

impl Mailbox {
    pub(crate) async fn open() -> io::Result<(Self, SocketAddr)> {
        let (listener, address) = demo_support::listen().await?;
        let mailbox = Self::default();
        tokio::spawn(mailbox.clone().accept(listener));
        Ok((mailbox, address))
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        let mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.clone()
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let mailbox = self.clone();
            tokio::spawn(async move { mailbox.converse(stream).await });
        }
    }

    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut mail = Mail::default();
        let mut line = String::new();
        stream.write_all(b"220 localhost\r\n").await?;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.split([' ', ':', '\r']).next().unwrap_or_default();
            let answer = match command.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" | "NOOP" => "250 localhost",
                "MAIL" | "RSET" => {
                    mail = Mail::default();
                    "250 as you wish"
                }
                "RCPT" => {
                    mail.recipients += 1;
                    "250 known here"
                }
                "DATA" => {
                    stream.write_all(b"354 end with a dot\r\n").await?;
                    mail.text = text(&mut stream).await?;
                    let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    mails.push(std::mem::take(&mut mail));
                    "250 received"
                }
                "QUIT" => {
                    stream.write_all(b"221 goodbye\r\n").await?;
                    return Ok(());
                }
                _ => "502 not spoken here",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

/// Reads up to the line that is a dot.
async fn text(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(text);
        }
        // A dot that begins a line is sent twice.
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
